"""How a constraint is written that was written wrongly."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaluators.metrics import METRICS
from hwprofiles.suggestions import closest
from search.corrections import BYTE_UNITS

FORM = "write it as: metric (<=|>=) number, or metric (<=|>=) baseline (-|+|*) number"

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NAME = r"[A-Za-z_]\w*(?:[/@-]\w+)*(?::\w+)?(?:\.\w+)*(?:@[\w.-]+)?"
"""A metric, with its class, field and device."""

_SIGN = r"<=|>=|==|=<|=>|<|>|=|≤|≥"
_PLAIN = re.compile(rf"\s*({NAME})\s*({_SIGN})\s*({NUMBER})\s*(%|[A-Za-zµ]+)?\s*")
_RELATIVE = re.compile(rf"\s*({NAME})\s*({_SIGN})\s*base\w*(?:\s*([-+*])\s*({NUMBER})\s*(%)?)?\s*")
_TURNED = re.compile(rf"\s*({NUMBER})\s*({_SIGN})\s*({NAME})\s*")
_TURN = str.maketrans("<>≤≥", "><≥≤")
_UNITS: dict[str, Mapping[str, float]] = {
    "bytes": BYTE_UNITS,
    "ms": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "mj": {"mj": 1.0, "j": 1e3},
}
"""Factor of a unit by the unit that a metric's name ends with."""


def mend_constraint(text: str) -> str:
    """Returns the hint for a constraint that cannot be read.

    It can be read, unless it shows only the form.

    >>> mend_constraint("latency <= 5ms"), mend_constraint("accuracy > 95%")
    ('write: latency_ms <= 5, without a unit', 'write: accuracy >= 0.95')
    """
    if turned := _TURNED.fullmatch(text):
        text = f"{turned[3]} {turned[2].translate(_TURN)} {turned[1]}"
    if plain := _PLAIN.fullmatch(text):
        metric, number, unit = plain[1], float(plain[3]), plain[4]
        if unit is None or unit == "%":
            return f"write: {metric} {_sign(plain[2], metric)} {number / 100 if unit else number:.12g}"
        metric = metric if metric in METRICS else closest(metric, METRICS) or metric
        factor = _UNITS.get(metric.rpartition("_")[2], {}).get(unit.lower(), 1.0)
        return f"write: {metric} {_sign(plain[2], metric)} {number * factor:.12g}, without a unit"
    if relative := _RELATIVE.fullmatch(text):
        metric, operator, operand, percent = relative[1], *relative.group(3, 4, 5)
        by = f" {operator} {float(operand) / 100 if percent else float(operand):.12g}" if operator else ""
        return f"write: {metric} {_sign(relative[2], metric)} baseline{by}"
    return FORM


def _sign(sign: str, metric: str) -> str:
    """Returns the sign that is meant; of an equality the one that the metric's direction suggests."""
    if "<" in sign or sign == "≤":
        return "<="
    if ">" in sign or sign == "≥":
        return ">="
    row = METRICS.get(metric)
    return "<=" if row is not None and row.better == "min" else ">="
