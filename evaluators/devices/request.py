"""What a remote device is asked, and what it answers: names, hashes and numbers, never code.

Both sides read what the other wrote as untrusted data: unknown keys, other types and impossible numbers are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from evaluators.health import widen
from evaluators.measuring.latency import Protocol
from evaluators.measuring.measurement import Measurement, pair_ratio
from evaluators.measuring.order import BASELINE, CANDIDATE
from hwprofiles.errors import (
    BuildFailed,
    CandidateError,
    DeviceUnavailable,
    InvalidInput,
    ParetuneError,
    candidate_errors,
)

VERSION = 2
"""Of this format; agent and server must speak the same."""

Kind = Literal["latency", "peak_memory", "outputs"]

UNKNOWN_KIND = "errand: unknown kind"
"""How an agent of an earlier version begins its refusal of what it does not know."""

UNAVAILABLE = "unavailable"
"""State of an answer which says that the device, not the candidate, is at fault."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUNTIME = re.compile(r"[a-z0-9_]{1,64}(:[a-z0-9_.-]{1,64})?")
_HINT = "install the same version of Paretune on both sides"
_MAX_TEXT = 2000

_MAX_MS = 1e12
_VERDICTS = ("stable", "unstable")


@dataclass(frozen=True)
class FileRef:
    """A file by its content."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class MeasurementRequest:
    """One measurement for a remote device to make.

    ``kind`` is ``latency`` (``candidate`` paired with ``baseline`` by ``protocol``), ``peak_memory`` (of
    ``candidate``) or ``outputs`` (what ``candidate`` answers, see :mod:`evaluators.measuring.outputs`). ``threads``,
    ``batch`` and ``profile_digest`` say which of the device's profiles is meant; ``runtime`` (``name`` or
    ``name:hint``) runs the candidate; ``sample`` is one inference's input, for ``outputs`` any number of samples.
    """

    kind: Kind
    profile_digest: str
    threads: int
    batch: int
    runtime: str
    candidate: FileRef
    sample: FileRef
    limit_s: float
    baseline: FileRef | None = None
    protocol: Protocol | None = None

    @property
    def files(self) -> tuple[FileRef, ...]:
        """Everything that must be fetched, each once."""
        return tuple(dict.fromkeys(file for file in (self.baseline, self.candidate, self.sample) if file is not None))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        data = asdict(self)
        if self.protocol is not None:
            # JSON has no infinity.
            data["protocol"] = {k: None if v == math.inf else v for k, v in data["protocol"].items()}
        return data

    @classmethod
    def from_dict(cls, data: Any) -> MeasurementRequest:
        """The inverse of :meth:`to_dict`; raises :class:`InvalidInput` for anything that is not such a thing."""
        if not isinstance(data, Mapping) or set(data) != {field.name for field in fields(cls)}:
            raise InvalidInput("an errand has other fields than this version knows", _HINT)
        kind, runtime = data["kind"], data["runtime"]
        if kind not in get_args(Kind):
            raise InvalidInput(f"{UNKNOWN_KIND} {str(kind)[:40]!r}", _HINT)
        if not isinstance(runtime, str) or not _RUNTIME.fullmatch(runtime):
            raise InvalidInput(f"errand: runtime {str(runtime)[:40]!r} is not a valid runtime name", _HINT)
        baseline, protocol = _file(data["baseline"], "baseline"), _protocol(data["protocol"])
        if kind == "latency" and (baseline is None or protocol is None):
            raise InvalidInput("errand: a latency needs a baseline and a protocol", _HINT)
        return cls(
            kind=kind,
            profile_digest=_digest(data["profile_digest"], "profile_digest"),
            threads=_count(data["threads"], "threads"),
            batch=_count(data["batch"], "batch"),
            runtime=runtime,
            candidate=_require(_file(data["candidate"], "candidate"), "candidate"),
            sample=_require(_file(data["sample"], "sample"), "sample"),
            limit_s=_positive(data["limit_s"], "limit_s"),
            baseline=baseline,
            protocol=protocol,
        )


def _file(data: Any, name: str) -> FileRef | None:
    if data is None:
        return None
    if not isinstance(data, Mapping) or set(data) != {"sha256", "size_bytes"}:
        raise InvalidInput(f"errand: {name} is no file", _HINT)
    return FileRef(_digest(data["sha256"], name), _count(data["size_bytes"], name))


def _require(file: FileRef | None, name: str) -> FileRef:
    if file is None:
        raise InvalidInput(f"errand: {name} is missing", _HINT)
    return file


def _digest(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise InvalidInput(f"errand: {name} is no SHA-256", _HINT)
    return value


def _count(value: Any, name: str) -> int:
    if type(value) is not int or value < 1:
        raise InvalidInput(f"errand: {name} is no positive whole number", _HINT)
    return value


def _positive(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise InvalidInput(f"errand: {name} is no positive number", _HINT)
    return float(value)


def _protocol(data: Any) -> Protocol | None:
    """A protocol whose every value has its default's type; None stands for infinity."""
    if data is None:
        return None
    usual = asdict(Protocol())
    if not isinstance(data, Mapping) or set(data) != set(usual):
        raise InvalidInput("errand: protocol has other fields than this version knows", _HINT)
    return Protocol(**{name: _setting(data[name], value, name) for name, value in usual.items()})


def _setting(value: Any, usual: Any, name: str) -> Any:
    if isinstance(usual, float):
        if value is None:
            return math.inf
        if type(value) in (int, float) and not math.isnan(value):
            return float(value)
    elif type(value) is type(usual):
        return value
    raise InvalidInput(f"errand: protocol.{name} is of another kind than {usual!r}", _HINT)


# Samples


# Answers


def answer_of(error: ParetuneError) -> dict[str, Any]:
    """The answer that says why there is no measurement."""
    state = error.state if isinstance(error, CandidateError) else UNAVAILABLE
    return {"error": {"state": state, "message": error.message[:_MAX_TEXT], "hint": error.hint[:_MAX_TEXT]}}


def error_in(answer: Mapping[str, Any]) -> ParetuneError | None:
    """The error that an answer holds, as the same class on this side; None where it holds a measurement."""
    found = answer.get("error")
    if found is None:
        return None
    if not isinstance(found, Mapping) or not all(
        isinstance(found.get(key), str) for key in ("state", "message", "hint")
    ):
        return BuildFailed("the agent sent an error that cannot be read", _HINT)
    kinds: dict[str, type[ParetuneError]] = {**candidate_errors(), UNAVAILABLE: DeviceUnavailable}
    kind = kinds.get(found["state"], BuildFailed)
    return kind(_one_line(found["message"]), _one_line(found["hint"]))


def measurement_in(answer: Mapping[str, Any], errand: MeasurementRequest) -> Measurement:
    """The measurement that the answer to an errand holds, its ratio computed anew from the raw samples.

    Raises :class:`BuildFailed` for one that is malformed, or of another profile or runtime.
    """
    try:
        found = Measurement.from_dict(answer["measurement"])
        _check_measurement(found)
        found = _with_own_ratio(found)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BuildFailed(f"the agent sent a measurement that cannot be read: {_one_line(str(error))}", _HINT) from None
    if found.profile_digest != errand.profile_digest:
        raise BuildFailed("the agent measured on another profile than it was asked to", _HINT)
    if found.runtime != errand.runtime:
        raise BuildFailed("the agent measured with another runtime than it was asked to", _HINT)
    return found


def _check_measurement(found: Measurement) -> None:
    """Raises ``ValueError`` for figures that no measurement has."""
    samples = [*found.baseline_ms, *found.candidate_ms]
    if not len(found.baseline_ms) == len(found.candidate_ms) == len(found.sessions) > 0:
        raise ValueError("its blocks are not paired")
    if not all(row and all(_is_figure(ms) and ms > 1 / _MAX_MS for ms in row) for row in samples):
        raise ValueError("its samples are no times")
    if not all(type(number) is int and 0 <= number < len(found.sessions) for number in found.sessions):
        raise ValueError("its sessions are no numbers")
    order = found.order
    if not isinstance(order, str) or len(order) not in (0, len(found.sessions)) or set(order) - {BASELINE, CANDIDATE}:
        raise ValueError("its order is none")
    if found.verdict not in _VERDICTS or not all(
        isinstance(text, str) for text in (*found.marks, found.runtime_version)
    ):
        raise ValueError("its verdict or marks are none")
    if not (_is_figure(found.repeat_share) and found.repeat_share < 1) or not (
        type(found.moments) is int and found.moments > 0
    ):
        raise ValueError("its repetition is none")
    if not _is_figure(found.taken_at):
        raise ValueError("its moment is none")
    energy = found.energy_mj
    if energy is not None and not all(_is_figure(energy[model]) for model in ("baseline", "candidate")):
        raise ValueError("its energy is none")


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX_MS


def _with_own_ratio(found: Measurement) -> Measurement:
    """With the speed-up and its interval as this side computes them."""
    ratio, interval = pair_ratio(found.baseline_ms, found.candidate_ms, found.sessions)
    share = found.repeat_share / math.sqrt(found.moments)
    return replace(found, ratio=ratio, ratio_ci95=widen(ratio, interval, share), moment_ci95=interval)


def peak_memory_in(answer: Mapping[str, Any]) -> int:
    """The bytes that an answer holds; raises :class:`BuildFailed` for what is no number of bytes."""
    found = answer.get("peak_memory_bytes")
    if type(found) is not int or found < 0:
        raise BuildFailed("the agent sent a memory that cannot be read", _HINT)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_TEXT]
