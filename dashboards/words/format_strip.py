"""The number formats of a candidate's layers, as a strip of blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from evaluators.graphs.number_format import number_format
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput
from search.space.candidate import Space

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


def decided_formats(space: Space | None, decisions: Mapping[str, str]) -> dict[str, str]:
    """Returns the format of each layer group by the candidate's decisions, in the space's order; may be empty.

    Decisions about layers that choose between other things than number formats are left out.

    >>> decision = {"name": "precision:stem", "choices": ["fp32", "int8"], "technique": "precision"}
    >>> decided_formats(Space.from_dict({"decisions": [decision], "context": ""}), {"precision:stem": "int8"})
    {'stem': 'int8'}
    """
    of_layers = () if space is None else (d for d in space.decisions if d.scope == "layer" and d.target)
    return {
        str(decision.target): decisions[decision.name]
        for decision in of_layers
        if decision.name in decisions and all(_bits_and_kind(name)[0] is not None for name in decision.choices)
    }


def blocks_of(formats: Mapping[str, str], groups: Iterable[Mapping[str, Any]] = ()) -> tuple[Block, ...]:
    """Returns the blocks of a strip; ``groups`` are the layer groups of a job's facts, each with ``name`` and
    ``macs``."""
    macs = {group["name"]: group["macs"] for group in groups}
    total = sum(macs.values())
    return tuple(
        Block(layer, name, *_bits_and_kind(name), macs[layer] / total if total and layer in macs else None)
        for layer, name in formats.items()
    )


def count_formats(layers: Sequence[Block]) -> list[tuple[Block, int]]:
    """Returns a layer of each format, with the number of its layers; the most frequent format first."""
    examples = {layer.format: layer for layer in layers}
    return [(examples[name], count) for name, count in Counter(layer.format for layer in layers).most_common()]


def formats_in_words(layers: Sequence[Block]) -> str:
    """Returns the number of layers in each format, in words.

    >>> formats_in_words(blocks_of({"a": "int4", "b": "int8", "c": "int8"}))
    'int8 in 2 layers, int4 in 1'
    """
    (first, most), *further = count_formats(layers)
    parts = [f"{first.format} in {most} layer" + "s" * (most != 1)]
    return ", ".join(parts + [f"{layer.format} in {count}" for layer, count in further])


def formats_without_decision(formats: Mapping[str, str], decided: Mapping[str, str]) -> dict[str, str]:
    """Returns the formats that follow from no decision, by layer.

    >>> formats_without_decision({"stem": "int8", "head": "e4m3"}, {"stem": "int8"})
    {'head': 'e4m3'}
    """
    return {layer: name for layer, name in formats.items() if decided.get(layer) != name}


@cache
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
