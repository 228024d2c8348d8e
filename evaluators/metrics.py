"""The table of metrics: what each is called, its unit and direction, and what it is a figure of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["", "×", "ms", "mJ", "B", "G"]
"""``×``: a multiple of the fp32 model's; ``B``: bytes, printed in decimal units; ``G``: printed in billions."""


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    >>> Metric("Size of the codebooks", "B", "min", footprint=True).unit
    'B'
    """

    title: str
    """In words, for an axis."""
    unit: Unit = ""
    better: Literal["max", "min"] = "max"
    per_device: bool = False
    """Whether it differs from device to device; otherwise it is a figure of the file."""
    timed: bool = False
    """Whether layer tables predict it, and rooflines bound it."""
    footprint: bool = False
    """Whether a change may be wanted for it even where nothing is faster."""
    cost: bool = False
    """Whether compression is for it; what other metrics lose is the price."""
    fidelity: bool = False
    """Whether it compares outputs with the fp32 model's, which every task allows."""
    exact: bool = False
    """Whether the file alone decides it: the same on every machine and at every moment."""
    baseline: float | None = None
    """Of the fp32 model by definition, where it is."""
    decimals: int = 4
    bound: str = ""
    """What a roofline's figure is, in words; empty where there is none."""
    short_title: str | None = None
    """In a word or two, for the head of a column; the title where it is None."""
    usual: bool = False
    """Whether tables show it even where no objective names it."""
    of_runtime: bool = False
    """Whether a fast runtime may make it worse, so that it is shown beside such a runtime."""
    error: float | None = None
    """Of a measured figure: half-width of a 95 % interval, as a share, for what its own interval does not include."""
    resolution: float = 0.0
    """Of a measured figure: the least error, in its unit."""
    of_moment: bool = True
    """Of a measured figure: whether a busy machine changes it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data, for pages."""
        return asdict(self)


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("Accuracy", usual=True),
    "cosine": Metric("Cosine similarity to fp32", fidelity=True, baseline=1.0, decimals=6, short_title="Cosine"),
    "top1_agreement": Metric("Top-1 agreement with fp32", fidelity=True, baseline=1.0, short_title="Top-1 agreement"),
    "nll": Metric("Negative log-likelihood", better="min"),
    "fnr": Metric("False-negative rate", better="min"),
    "speedup": Metric(
        "Speed-up over fp32", "×", per_device=True, timed=True, cost=True, baseline=1.0, decimals=2, bound="at most",
        short_title="Speed-up",
    ),
    "latency_ms": Metric("Latency", "ms", "min", per_device=True, timed=True, cost=True, bound="at best", usual=True),
    "throughput": Metric("Throughput over fp32", "×", per_device=True, cost=True, decimals=2),
    "cold_start_ms": Metric("Cold start", "ms", "min", per_device=True, cost=True, of_runtime=True, error=0.15),
    "warm_start_ms": Metric("Warm start", "ms", "min", per_device=True, cost=True, error=0.15),
    "energy_mj": Metric("Energy of an inference", "mJ", "min", per_device=True, cost=True, error=0.05),
    "energy_mj_raw": Metric("Energy of an inference as counted", "mJ", "min", per_device=True),
    "peak_memory_bytes": Metric(
        "Peak memory", "B", "min", per_device=True, footprint=True, cost=True, of_runtime=True, error=0.1,
        resolution=4 << 20, of_moment=False,  # of small models: the allocation unit of an allocator
    ),
    "size_bytes": Metric("Size", "B", "min", footprint=True, cost=True, exact=True, usual=True),
    "sparse_size_bytes": Metric("Size without zeros", "B", "min", footprint=True, cost=True, exact=True),
    "parameters": Metric("Parameters", "", "min", cost=True, exact=True, decimals=0),
    "bit_operations": Metric("Bit operations", "G", "min", cost=True, exact=True),
}  # fmt: skip
"""What Paretune measures itself. A technique may add metrics of its own (``Technique.metrics``), and a task's own
functions may give others, of which nothing is known but that larger is better."""


def base_of(name: str) -> str:
    """Returns a metric without its field and its device.

    >>> base_of("latency_ms.p90@phone"), base_of("fnr:cat")
    ('latency_ms', 'fnr')
    """
    return name.partition("@")[0].partition(".")[0].partition(":")[0]


def main_figure(entry: Any) -> float | None:
    """Returns the main figure of what metrics hold under a name: the number, or the ``p50`` or ``ratio`` of a mapping.

    None if there is none, or if it is not finite.
    """
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in ("p50", "ratio", "value") if name in entry), None)
    if isinstance(entry, bool) or not isinstance(entry, int | float) or not math.isfinite(entry):
        return None
    return float(entry)


def metric_of(name: str, own: Mapping[str, Metric] | None = None) -> Metric:
    """Returns the row of a metric, which may have dotted fields and a device; ``own`` are rows beyond the shipped ones.

    A metric in neither is titled by its name.

    >>> metric_of("speedup@phone").unit, metric_of("word_error").title
    ('×', 'Word error')
    """
    base = base_of(name)
    return METRICS.get(base) or (own or {}).get(base) or Metric(base.replace("_", " ").capitalize())
