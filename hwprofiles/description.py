"""Device descriptions: TOML files with a device's peak rates, from which its speed is modelled.

::

    version = 1
    name = "raspberry-pi-5"
    title = "Raspberry Pi 5, 8 GB"
    kind = "cpu"
    processor = "Broadcom BCM2712 (4 x Cortex-A76)"
    instruction_sets = ["asimd", "asimddp"]
    cores = {value = 4, source = "[brief]"}
    memory_bytes = {value = 8_589_934_592, source = "[brief]"}
    bytes_per_s = {value = 17.1e9, source = "32 bits of LPDDR4X-4267 [brief]"}

    [operations_per_s]
    fp32 = {value = 153.6e9, source = "4 cores x 2.4 GHz [brief] x 16 operations a cycle"}
    int8 = {value = 614.4e9, source = "4 cores x 2.4 GHz [brief] x 64 operations a cycle"}

    [documents]
    brief = "Raspberry Pi 5 product brief, https://…"
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofiles.errors import InvalidInput
from hwprofiles.peaks import FORMATS, Peaks
from hwprofiles.profile import Profile, check_threads
from hwprofiles.suggestions import nearest, nearest_file

VERSION = 1
KINDS = ("cpu", "gpu")
LARGEST_BYTES = 2**16
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Valid names of devices; they become file names."""

KEYS = (
    "version", "name", "title", "kind", "processor", "instruction_sets", "cores", "memory_bytes", "bytes_per_s",
    "operations_per_s", "documents",
)  # fmt: skip
"""Keys of a description."""

_REFERENCE = re.compile(r"\[([A-Za-z0-9_-]+)\]")
_HELP = "see the example in: paretune docs devices"
_DESCRIBE = "describe a machine there with: paretune devices probe --output NAME.toml"


@dataclass(frozen=True)
class Figure:
    """A number and its source."""

    value: float
    source: str


@dataclass(frozen=True)
class Description:
    """A device as its file describes it."""

    name: str
    title: str
    kind: str
    processor: str
    instruction_sets: tuple[str, ...]
    cores: Figure
    """Number of processor cores, or of a GPU's multiprocessors."""
    memory_bytes: Figure
    bytes_per_s: Figure
    """Memory bandwidth."""
    operations_per_s: tuple[tuple[str, Figure], ...]
    """Pairs of number format and peak rate."""
    documents: tuple[tuple[str, str], ...] = ()
    """Pairs of key and document: what sources refer to as ``[key]``."""

    def profile(self, threads: int = 1, batch: int = 1) -> Profile:
        """Returns the simulated profile. A processor's peak is scaled to ``threads`` of its cores; a GPU is used as a
        whole.

        Raises :class:`DeviceUnavailable` if it has fewer cores than ``threads``.
        """
        cores = int(self.cores.value)
        if self.kind == "cpu":
            check_threads(self.name, threads, cores)
        rates = tuple((name, figure.value) for name, figure in self.operations_per_s)
        peaks = Peaks(rates, self.bytes_per_s.value)
        return Profile(
            device=self.name,
            runtime="null",
            runtime_version="1",
            processor=self.processor,
            instruction_sets=self.instruction_sets,
            cores=(),
            memory_bytes=int(self.memory_bytes.value),
            threads=threads,
            batch=batch,
            simulated=True,
            peaks=peaks.of_share(threads / cores) if self.kind == "cpu" else peaks,
        )

    def sources(self) -> dict[str, str]:
        """Returns the source of each figure and the documents, by name."""
        figures = {"cores": self.cores, "memory_bytes": self.memory_bytes, "bytes_per_s": self.bytes_per_s}
        figures |= {f"operations_per_s.{name}": figure for name, figure in self.operations_per_s}
        return {name: figure.source for name, figure in figures.items()} | dict(self.documents)

    def to_toml(self) -> str:
        """Returns the text of a file that :func:`parse_description` reads."""
        lines = [
            f"version = {VERSION}",
            *(f"{key} = {_quote(getattr(self, key))}" for key in ("name", "title", "kind", "processor")),
            f"instruction_sets = [{', '.join(map(_quote, self.instruction_sets))}]",
            *(f"{key} = {_inline(getattr(self, key))}" for key in ("cores", "memory_bytes", "bytes_per_s")),
            "",
            "[operations_per_s]",
            *(f"{name} = {_inline(figure)}" for name, figure in self.operations_per_s),
            *(["", "[documents]"] if self.documents else []),
            *(f"{key} = {_quote(text)}" for key, text in self.documents),
        ]
        return "\n".join(lines) + "\n"


def parse_description(text: str, place: str) -> Description:
    """Parses and checks the text of a description; ``place`` names the file in errors.

    Raises :class:`InvalidInput` that names the field, and suggests the nearest key for an unknown one.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{place} is not TOML: {error}", _DESCRIBE) from None
    _check_keys(data, KEYS, place, "")
    if data.get("version") != VERSION or isinstance(data.get("version"), bool):
        raise InvalidInput(f"{place}: version: must be {VERSION}", f"write: version = {VERSION}")
    name, kind = _text(data, "name", place), _text(data, "kind", place)
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{place}: name: {name!r} is not a valid device name",
            "use lower-case letters, digits, dots, dashes and underscores, at most 64",
        )
    if kind not in KINDS:
        raise InvalidInput(f"{place}: kind: must be cpu or gpu, not {kind!r}", 'write: kind = "cpu"')
    description = Description(
        name=name,
        title=_text(data, "title", place),
        kind=kind,
        processor=_text(data, "processor", place),
        instruction_sets=_texts(data, "instruction_sets", place),
        cores=_figure(data, "cores", place, whole=True),
        memory_bytes=_figure(data, "memory_bytes", place, whole=True),
        bytes_per_s=_figure(data, "bytes_per_s", place),
        operations_per_s=_rates(data, place),
        documents=_documents(data, place),
    )
    documents = {key for key, _ in description.documents}
    for field, source in description.sources().items():
        for key in _REFERENCE.findall(source):
            if field not in documents and key not in documents:
                raise InvalidInput(f"{place}: {field}.source: no document {key!r}", nearest(key, documents or {"none"}))
    return description


def read_description(path: Path) -> Description:
    """Reads and checks a file.

    Raises :class:`InvalidInput` for a file that is missing, unreadable, too large or no valid description.
    """
    return parse_description(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Reads a description's text. Raises :class:`InvalidInput` for a file that is unreadable or too large."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        raise InvalidInput(f"file {path} does not exist", nearest_file(path, _DESCRIBE)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"file {path} cannot be read: {error}", "use a readable TOML text file") from None
    if len(content) > LARGEST_BYTES:
        raise InvalidInput(f"file {path} is larger than {LARGEST_BYTES} bytes", _HELP)
    return text


def _check_keys(data: Mapping[str, Any], allowed: Collection[str], place: str, above: str) -> None:
    for key in data:
        if key not in allowed:
            raise InvalidInput(f"{place}: {above}{key}: unknown key {key!r}", nearest(key, allowed))


def _require(data: Mapping[str, Any], key: str, place: str, above: str = "") -> Any:
    if key not in data:
        raise InvalidInput(f"{place}: {above}{key}: missing", f"add it; {_HELP}")
    return data[key]


def _text(data: Mapping[str, Any], key: str, place: str, above: str = "") -> str:
    value = _require(data, key, place, above)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidInput(f"{place}: {above}{key}: must be one line of text, not {value!r}", f'write: {key} = "…"')
    return value


def _texts(data: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = data.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidInput(f"{place}: {key}: must be a list of texts", f'write: {key} = ["avx2", "fma"]')
    return tuple(values)


def _rates(data: Mapping[str, Any], place: str) -> tuple[tuple[str, Figure], ...]:
    rates = _require(data, "operations_per_s", place)
    if not isinstance(rates, Mapping):
        raise InvalidInput(f"{place}: operations_per_s: must be a table of number formats", _HELP)
    _check_keys(rates, FORMATS, place, "operations_per_s.")
    _require(rates, "fp32", place, "operations_per_s.")
    return tuple((name, _figure(rates, name, place, "operations_per_s.")) for name in FORMATS if name in rates)


def _documents(data: Mapping[str, Any], place: str) -> tuple[tuple[str, str], ...]:
    documents = data.get("documents", {})
    if not isinstance(documents, Mapping):
        raise InvalidInput(f"{place}: documents: must be a table of texts", _HELP)
    return tuple((key, _text(documents, key, place, "documents.")) for key in documents)


def _figure(data: Mapping[str, Any], key: str, place: str, above: str = "", *, whole: bool = False) -> Figure:
    figure = _require(data, key, place, above)
    example = f'write: {key} = {{value = 4, source = "where the figure is from"}}'
    if not isinstance(figure, Mapping):
        raise InvalidInput(f"{place}: {above}{key}: must be a table with value and source, not {figure!r}", example)
    _check_keys(figure, ("value", "source"), place, f"{above}{key}.")
    value = _require(figure, "value", place, f"{above}{key}.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidInput(f"{place}: {above}{key}.value: must be a number above 0, not {value!r}", example)
    if whole and value != int(value):
        raise InvalidInput(f"{place}: {above}{key}.value: must be a whole number, not {value!r}", example)
    return Figure(int(value) if whole else float(value), _text(figure, "source", place, f"{above}{key}."))


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # TOML's basic strings use JSON's escapes


def _inline(figure: Figure) -> str:
    value = figure.value if isinstance(figure.value, int) else repr(float(figure.value))
    return f"{{value = {value}, source = {_quote(figure.source)}}}"
