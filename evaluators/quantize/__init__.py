"""Puts a candidate's precisions into an ONNX graph, in memory."""

from evaluators.quantize.quantizer import Quantizer, activation_tensors
from evaluators.quantize.scheme import Scheme

__all__ = ["Quantizer", "Scheme", "activation_tensors"]
