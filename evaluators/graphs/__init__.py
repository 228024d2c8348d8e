"""ONNX models: loading, checks, clean-up, fusion, and layer groups."""
