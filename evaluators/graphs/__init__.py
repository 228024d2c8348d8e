"""ONNX models: read, checked, cleaned up, fused, and split into layers."""
