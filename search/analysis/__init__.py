"""Prune or quantise? What is known of a model before anything is searched."""

from search.analysis.report import BITS, analysed, device_view
from search.analysis.source import model_of_file, model_of_job, recovered_of_job

__all__ = ["BITS", "analysed", "device_view", "model_of_file", "model_of_job", "recovered_of_job"]
