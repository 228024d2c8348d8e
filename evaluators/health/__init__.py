"""Watches a machine during a measurement and judges whether the result can be trusted."""

from evaluators.health.counters import Counters
from evaluators.health.gpu import GpuCounters
from evaluators.health.history import History
from evaluators.health.repeats import APART_S, Repeats, widen
from evaluators.health.verdict import VERDICTS, Health, Tolerance
from evaluators.health.watch import Watch

__all__ = [
    "APART_S", "VERDICTS", "Counters", "GpuCounters", "Health", "History", "Repeats", "Tolerance", "Watch", "widen",
]  # fmt: skip
