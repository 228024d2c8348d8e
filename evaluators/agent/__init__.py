"""The agent on a remote device: ``paretune agent`` connects to a server and makes the measurements that it requests.

Needs only the base package and one runtime: nothing here imports onnx, SQL or a web framework.
"""
