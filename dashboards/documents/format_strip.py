"""The number formats of a candidate's layers, as a strip of blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.graphs.number_format import number_format
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput

# Names of the techniques; importing them would take a second.
TRAINED_FORMATS, SIMULATED_FORMATS = "formats", "simulated_formats"
"""Metrics of a candidate with trained formats: the format of each layer group, and whether any is simulated."""

ARCHITECTURE = "architecture"
"""Metric of an elastic network: the chosen sub-network, value by decision."""

PREFIXES = ("precision:", "formats:")
"""Prefixes of decisions about a layer group's format."""

_KINDS = {Precision.INT8_DYNAMIC: "d", Precision.INT8_WEIGHT: "w", Precision.INT4_WEIGHT: "w"}
_PRECISIONS = frozenset(Precision)


@dataclass(frozen=True)
class Block:
    """A layer group in the strip."""

    layer: str
    format: str
    bits: int | None
    """Bits of its weights; None for an unknown format."""
    kind: str
    """Distinguishes formats of equal bits: ``f`` small floats, ``d`` activations quantised at run time, ``w`` weights
    only stored so."""
    macs_share: float | None = None
    """Share of the fp32 model's multiply-accumulates; None if unknown."""

    @property
    def mark(self) -> str:
        """The text in the block: bits and kind.

        >>> [blocks_of({"stem": name})[0].mark for name in ("int8", "int8_dynamic", "e2m1")]
        ['8', '8d', '4f']
        """
        return f"{self.bits}{self.kind}" if self.bits is not None else "?"

    @property
    def shade(self) -> int | None:
        """The colour of the block: its bits up to 8, above that 16 or 32."""
        return self.bits if self.bits is None or self.bits <= 8 else 16 if self.bits <= 16 else 32


def formats_of(decisions: Mapping[str, str], metrics: Mapping[str, Any]) -> dict[str, str]:
    """The format of each layer group in the graph's order: the trained one, otherwise the decision's; may be empty.

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
        Block(layer, name, *_bits_and_kind(name), macs[layer] / total if total and layer in macs else None)
        for layer, name in formats.items()
    )


def count_formats(layers: Sequence[Block]) -> list[tuple[Block, int]]:
    """A layer of each format, with the number of its layers; the most frequent format first."""
    examples = {layer.format: layer for layer in layers}
    return [(examples[name], count) for name, count in Counter(layer.format for layer in layers).most_common()]


def formats_in_words(layers: Sequence[Block]) -> str:
    """The number of layers in each format, in words.

    >>> formats_in_words(blocks_of({"a": "int4", "b": "int8", "c": "int8"}))
    'int8 in 2 layers, int4 in 1'
    """
    (first, most), *further = count_formats(layers)
    parts = [f"{first.format} in {most} layer" + "s" * (most != 1)]
    return ", ".join(parts + [f"{layer.format} in {count}" for layer, count in further])


def formats_without_decision(formats: Mapping[str, str], decisions: Mapping[str, str]) -> dict[str, str]:
    """The formats that follow from no decision, by layer.

    >>> formats_without_decision({"stem": "int8", "head": "e4m3"}, {"precision:stem": "int8"})
    {'head': 'e4m3'}
    """
    decided = {(name.partition(":")[2] or name, value) for name, value in decisions.items()}
    return {layer: name for layer, name in formats.items() if (layer, name) not in decided}


def _bits_and_kind(name: str) -> tuple[int | None, str]:
    """Bits and kind of a format."""
    if name in _PRECISIONS:
        precision = Precision(name)
        return precision.weight_bits, _KINDS.get(precision, "")
    try:
        parsed = number_format(name)
    except InvalidInput:
        return None, ""
    return parsed.bits, "" if parsed.is_integer else "f"
