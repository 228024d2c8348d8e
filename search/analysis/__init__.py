"""Prune or quantise? Analysis of a model and a device before any search."""

from search.analysis.report import BITS, analyse_weights, device_view
from search.analysis.source import compare_recovery_of_job, model_of_file, model_of_job

__all__ = ["BITS", "analyse_weights", "compare_recovery_of_job", "device_view", "model_of_file", "model_of_job"]
