"""Applies a candidate's precisions to an ONNX graph, in memory."""

from evaluators.quantize.quantizer import Quantizer, activation_tensors
from evaluators.quantize.scheme import Scheme

__all__ = ["Quantizer", "Scheme", "activation_tensors"]
