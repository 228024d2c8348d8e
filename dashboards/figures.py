"""Figures in print: titles, units, rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from dashboards.evidence import Evidence, qualify_title
from evaluators.metrics import METRICS, Metric, base_of, metric_of

_MOST_DECIMALS = 9
_ENDINGS = {"_ms": "ms", "_mj": "mJ", "_bytes": "B"}


def row_of(name: str) -> Metric:
    """Returns a metric's row; techniques are asked for the row of a metric that the table does not have."""
    return metric_of(name, None if base_of(name) in METRICS else _rows_of_techniques())


@cache
def _rows_of_techniques() -> dict[str, Metric]:
    from search.techniques import TECHNIQUES, own_metrics  # takes half a second

    return own_metrics(TECHNIQUES)


def metric_title(name: str, evidence: str = Evidence.MEASURED) -> str:
    """Returns a metric's title, for an axis; ``evidence`` is that of the figure.

    >>> metric_title("speedup@local-cpu"), metric_title("latency_ms.p90"), metric_title("word_error")
    ('Speed-up over fp32, local-cpu', 'Latency, p90', 'Word error')
    """
    return qualify_title(_with_field(name, row_of(name).title), name, evidence)


def short_title(name: str, evidence: str = Evidence.MEASURED) -> str:
    """Returns a metric in a word or two, for the head of a column."""
    row = row_of(name)
    return qualify_title(_with_field(name, row.short_title or row.title), name, evidence)


def _with_field(name: str, title: str) -> str:
    """Returns the title with the metric's field, class and device behind it."""
    metric, _, device = name.partition("@")
    base, _, field = metric.partition(".")
    label = base.partition(":")[2]
    return ", ".join(part for part in (title, label, field, device) if part)


def figure(value: float | None, metric: str) -> str:
    """Returns a metric's value with its unit.

    >>> figure(3.4182, "speedup"), figure(2.0, "latency_ms"), figure(1234567, "size_bytes"), figure(None, "cosine")
    ('3.42×', '2.00 ms', '1.23 MB', '–')
    >>> figure(4.4e9, "bit_operations"), figure(0.99996, "accuracy"), figure(1080860, "parameters")
    ('4.40 G', '0.99996', '1,080,860')
    """
    if value is None:
        return "–"
    unit, decimals = unit_of(metric), row_of(metric).decimals
    if unit == "×":
        return f"{_round(value, decimals)}×"
    if unit in ("ms", "mJ"):
        return f"{_three_digits(value)} {unit}"
    if unit == "B":
        return byte_size(value)
    if unit == "G":
        return f"{_three_digits(value / 1e9)} G"
    if abs(value) < 10:
        return _round(value, decimals)
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def unit_of(metric: str) -> str:
    """Returns the unit of a metric's value; of one that the table does not have, by the ending of its name.

    >>> unit_of("speedup@phone"), unit_of("throughput.per_s"), unit_of("decoder_ms"), unit_of("accuracy")
    ('×', '', 'ms', '')
    """
    name, field = base_of(metric), metric.partition("@")[0].partition(".")[2]
    if name == "throughput" and field not in ("", "ratio"):
        return ""
    ending = next((unit for tail, unit in _ENDINGS.items() if name.endswith(tail)), "")
    return row_of(name).unit or ending


def interval(bounds: Sequence[float] | None, metric: str) -> str:
    """Returns a 95 % interval in the metric's unit; empty without one.

    >>> interval([3.31, 3.5], "speedup"), interval([900, 1100], "size_bytes"), interval(None, "speedup")
    ('3.31–3.50×', '900 B–1.10 kB', '')
    """
    if bounds is None:
        return ""
    low, high = (figure(bound, metric) for bound in bounds)
    unit = high.lstrip("-0123456789.,")
    return f"{low.removesuffix(unit)}–{high}"


def byte_size(value: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5 or unit == "GB":
            return f"{value:.0f} B" if unit == "B" else f"{_three_digits(value)} {unit}"
        value /= 1000
    return ""


def duration(seconds: float | None) -> str:
    """Returns the seconds in words.

    >>> duration(8.24), duration(200), duration(7500), duration(None)
    ('8 s', '3 min 20 s', '2 h 05 min', '–')
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(iso: str | None) -> str:
    """Returns an ISO 8601 time in UTC to the minute."""
    return "–" if iso is None else f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M} UTC"


def precision_title(sweep: Mapping[str, Any]) -> str:
    """Returns the precision of a capability's sweep, with the activation type if it has one."""
    return f"{sweep['precision']} ({sweep['activations']})" if sweep["activations"] else str(sweep["precision"])


def _round(value: float, digits: int) -> str:
    """Rounds to ``digits`` decimals; a number below 1 gets as many more as keep it from reading as 1."""
    if not value < 1:
        return f"{value:.{digits}f}"
    texts = (f"{value:.{more}f}" for more in range(digits, _MOST_DECIMALS + 1))
    return next((text for text in texts if float(text) < 1), f"0.{'9' * _MOST_DECIMALS}")


def _three_digits(value: float) -> str:
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:.0f}"
