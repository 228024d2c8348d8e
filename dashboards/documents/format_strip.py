"""The number formats of a candidate's layers, as a strip of blocks shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.graphs.number_format import number_format
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput

# As the techniques name them, whose import takes a second.
TRAINED_FORMATS, SIMULATED_FORMATS = "formats", "simulated_formats"
"""What the metrics of a candidate say that was trained in number formats: that of each layer group, and whether no
runtime computes in all of them."""

ARCHITECTURE = "architecture"
"""What the metrics call the sub-network that was found, value by decision."""

PREFIXES = ("precision:", "formats:")
"""What decisions about a layer group's format are called."""

_KINDS = {Precision.INT8_DYNAMIC: "d", Precision.INT8_WEIGHT: "w", Precision.INT4_WEIGHT: "w"}
_PRECISIONS = frozenset(Precision)


@dataclass(frozen=True)
class Block:
    """What stands for a layer group: its ``format``, and the ``bits`` of its weights (None for an unknown format).

    ``kind`` tells apart formats of as many bits: ``f`` small floats, ``d`` activations that are quantised at run time,
    ``w`` weights that are only stored so. ``macs_share`` is the group's part of the fp32 model's multiply-accumulates,
    None where they are not known.
    """

    layer: str
    format: str
    bits: int | None
    kind: str
    macs_share: float | None = None

    @property
    def mark(self) -> str:
        """What a block of the strip says: bits and kind.

        >>> [blocks_of({"stem": name})[0].mark for name in ("int8", "int8_dynamic", "e2m1")]
        ['8', '8d', '4f']
        """
        return f"{self.bits}{self.kind}" if self.bits is not None else "?"

    @property
    def shade(self) -> int | None:
        """Which colour a block has: the bits up to 8, above that 16 or 32."""
        return self.bits if self.bits is None or self.bits <= 8 else 16 if self.bits <= 16 else 32


def formats_of(decisions: Mapping[str, str], metrics: Mapping[str, Any]) -> dict[str, str]:
    """Format by layer group in the graph's order: what a candidate was trained in, else what its decisions say; empty
    where neither says anything.

    >>> formats_of({"precision:stem": "int8", "width": "half"}, {})
    {'stem': 'int8'}
    """
    decided = {name.partition(":")[2]: value for name, value in decisions.items() if name.startswith(PREFIXES)}
    return dict(metrics.get(TRAINED_FORMATS) or decided)


def blocks_of(formats: Mapping[str, str], groups: Iterable[Mapping[str, Any]] = ()) -> tuple[Block, ...]:
    """The blocks of a strip; ``groups`` are the layer groups of a job's facts, each with ``name`` and ``macs``."""
    macs = {group["name"]: group["macs"] for group in groups}
    total = sum(macs.values())
    return tuple(
        Block(layer, name, *_described(name), macs[layer] / total if total and layer in macs else None)
        for layer, name in formats.items()
    )


def counted(layers: Sequence[Block]) -> list[tuple[Block, int]]:
    """A layer in each format and how many there are in it, the most frequent format first."""
    examples = {one.format: one for one in layers}
    return [(examples[name], count) for name, count in Counter(one.format for one in layers).most_common()]


def in_words(layers: Sequence[Block]) -> str:
    """How many layers are in which format.

    >>> in_words(blocks_of({"a": "int4", "b": "int8", "c": "int8"}))
    'int8 in 2 layers, int4 in 1'
    """
    (first, most), *others = counted(layers)
    parts = [f"{first.format} in {most} layer" + "s" * (most != 1)]
    return ", ".join(parts + [f"{one.format} in {count}" for one, count in others])


def untold(formats: Mapping[str, str], decisions: Mapping[str, str]) -> dict[str, str]:
    """The formats that no decision says, by layer.

    >>> untold({"stem": "int8", "head": "e4m3"}, {"precision:stem": "int8"})
    {'head': 'e4m3'}
    """
    told = {(name.partition(":")[2] or name, value) for name, value in decisions.items()}
    return {layer: name for layer, name in formats.items() if (layer, name) not in told}


def _described(name: str) -> tuple[int | None, str]:
    """Bits and kind of a format."""
    if name in _PRECISIONS:
        precision = Precision(name)
        return precision.weight_bits, _KINDS.get(precision, "")
    try:
        known = number_format(name)
    except InvalidInput:
        return None, ""
    return known.bits, "" if known.is_integer else "f"
