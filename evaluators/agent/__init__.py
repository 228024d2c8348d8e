"""A remote device's side: ``paretune agent`` dials out to a server, and measures here what it asks for.

Runs from the base package and one runtime alone: no onnx, no SQL, no web framework is imported here.
"""
