"""Measurement requests to remote devices, and their answers: names, hashes and numbers, never code.

Each side treats the other's data as untrusted: unknown keys, wrong types and impossible numbers are rejected. Stored
and sent data call a measurement request an *errand*.
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
"""Version of this format; agent and server must have the same."""

Kind = Literal["latency", "peak_memory", "outputs"]

UNKNOWN_KIND = "errand: unknown kind"
"""Start of the message with which an agent, of whatever version, refuses an unknown kind."""

UNAVAILABLE = "unavailable"
"""State of an error answer that is caused by the device, not by the candidate."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUNTIME = re.compile(r"[a-z0-9_]{1,64}(:[a-z0-9_.-]{1,64})?")
_HINT = "install the same version of Paretune on both sides"
_MAX_TEXT = 2000

_MAX_MS = 1e12
_VERDICTS = ("stable", "unstable")


@dataclass(frozen=True)
class FileRef:
    """A file, identified by its content."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class MeasurementRequest:
    """One measurement to be made by a remote device."""

    kind: Kind
    """``latency`` (``candidate`` paired with ``baseline``), ``peak_memory`` or ``outputs`` (of ``candidate``, see
    :mod:`evaluators.measuring.outputs`)."""
    profile_digest: str
    """The device's profile, with ``threads`` and ``batch``."""
    threads: int
    batch: int
    runtime: str
    """The candidate's runtime, ``name`` or ``name:hint``."""
    candidate: FileRef
    sample: FileRef
    """The input of one inference; for ``outputs`` any number of samples."""
    limit_s: float
    """Time limit of the measurement."""
    baseline: FileRef | None = None
    """Only for ``latency``, and so is ``protocol``."""
    protocol: Protocol | None = None

    @property
    def files(self) -> tuple[FileRef, ...]:
        """The files to fetch, without duplicates."""
        return tuple(dict.fromkeys(file for file in (self.baseline, self.candidate, self.sample) if file is not None))

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        data = asdict(self)
        if self.protocol is not None:
            # JSON has no infinity.
            data["protocol"] = {k: None if v == math.inf else v for k, v in data["protocol"].items()}
        return data

    @classmethod
    def from_dict(cls, data: Any) -> MeasurementRequest:
        """Returns the inverse of :meth:`to_dict`. Raises :class:`InvalidInput` for anything else."""
        if not isinstance(data, Mapping) or set(data) != {field.name for field in fields(cls)}:
            raise InvalidInput("the request has other fields than this version knows", _HINT)
        kind, runtime = data["kind"], data["runtime"]
        if kind not in get_args(Kind):
            raise InvalidInput(f"{UNKNOWN_KIND} {str(kind)[:40]!r}", _HINT)
        if not isinstance(runtime, str) or not _RUNTIME.fullmatch(runtime):
            raise InvalidInput(f"request: runtime {str(runtime)[:40]!r} is not a valid runtime name", _HINT)
        baseline, protocol = _file(data["baseline"], "baseline"), _protocol(data["protocol"])
        if kind == "latency" and (baseline is None or protocol is None):
            raise InvalidInput("request: a latency needs a baseline and a protocol", _HINT)
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
        raise InvalidInput(f"request: {name} is not a file", _HINT)
    return FileRef(_digest(data["sha256"], name), _count(data["size_bytes"], name))


def _require(file: FileRef | None, name: str) -> FileRef:
    if file is None:
        raise InvalidInput(f"request: {name} is missing", _HINT)
    return file


def _digest(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise InvalidInput(f"request: {name} is not a SHA-256", _HINT)
    return value


def _count(value: Any, name: str) -> int:
    if type(value) is not int or value < 1:
        raise InvalidInput(f"request: {name} is not a positive whole number", _HINT)
    return value


def _positive(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise InvalidInput(f"request: {name} is not a positive number", _HINT)
    return float(value)


def _protocol(data: Any) -> Protocol | None:
    """Reads a protocol: each value must have its default's type; None stands for infinity."""
    if data is None:
        return None
    usual = asdict(Protocol())
    if not isinstance(data, Mapping) or set(data) != set(usual):
        raise InvalidInput("request: protocol has other fields than this version knows", _HINT)
    return Protocol(**{name: _setting(data[name], value, name) for name, value in usual.items()})


def _setting(value: Any, usual: Any, name: str) -> Any:
    if isinstance(usual, float):
        if value is None:
            return math.inf
        if type(value) in (int, float) and not math.isnan(value):
            return float(value)
    elif type(value) is type(usual):
        return value
    raise InvalidInput(f"request: protocol.{name} must have the type of {usual!r}", _HINT)


# Answers


def answer_of(error: ParetuneError) -> dict[str, Any]:
    """Returns the answer for an error: why there is no measurement."""
    state = error.state if isinstance(error, CandidateError) else UNAVAILABLE
    return {"error": {"state": state, "message": error.message[:_MAX_TEXT], "hint": error.hint[:_MAX_TEXT]}}


def error_in(answer: Mapping[str, Any]) -> ParetuneError | None:
    """Reads the error of an answer, as an exception of the same class; None if there is none."""
    error = answer.get("error")
    if error is None:
        return None
    if not isinstance(error, Mapping) or not all(
        isinstance(error.get(key), str) for key in ("state", "message", "hint")
    ):
        return BuildFailed("the agent sent an error that cannot be read", _HINT)
    kinds: dict[str, type[ParetuneError]] = {**candidate_errors(), UNAVAILABLE: DeviceUnavailable}
    kind = kinds.get(error["state"], BuildFailed)
    return kind(_one_line(error["message"]), _one_line(error["hint"]))


def measurement_in(answer: Mapping[str, Any], request: MeasurementRequest) -> Measurement:
    """Reads the measurement of an answer; its ratio is computed again from the raw samples.

    Raises :class:`BuildFailed` for one that is malformed, or of another profile or runtime than ``request``.
    """
    try:
        measurement = Measurement.from_dict(answer["measurement"])
        _check_measurement(measurement)
        measurement = _with_own_ratio(measurement)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BuildFailed(f"the agent sent a measurement that cannot be read: {_one_line(str(error))}", _HINT) from None
    if measurement.profile_digest != request.profile_digest:
        raise BuildFailed("the agent measured on another profile than requested", _HINT)
    if measurement.runtime != request.runtime:
        raise BuildFailed("the agent measured with another runtime than requested", _HINT)
    return measurement


def _check_measurement(measurement: Measurement) -> None:
    """Raises ``ValueError`` for impossible figures."""
    samples = [*measurement.baseline_ms, *measurement.candidate_ms]
    if not len(measurement.baseline_ms) == len(measurement.candidate_ms) == len(measurement.sessions) > 0:
        raise ValueError("its blocks are not paired")
    if not all(row and all(_is_figure(ms) and ms > 1 / _MAX_MS for ms in row) for row in samples):
        raise ValueError("its samples are not times")
    if not all(type(number) is int and 0 <= number < len(measurement.sessions) for number in measurement.sessions):
        raise ValueError("its sessions are not numbers")
    order = measurement.order
    if (
        not isinstance(order, str)
        or len(order) not in (0, len(measurement.sessions))
        or set(order) - {BASELINE, CANDIDATE}
    ):
        raise ValueError("its order is invalid")
    if measurement.verdict not in _VERDICTS or not all(
        isinstance(text, str) for text in (*measurement.marks, measurement.runtime_version)
    ):
        raise ValueError("its verdict or marks are invalid")
    if not (_is_figure(measurement.repeat_share) and measurement.repeat_share < 1) or not (
        type(measurement.moments) is int and measurement.moments > 0
    ):
        raise ValueError("its repeat_share or moments are invalid")
    if not _is_figure(measurement.taken_at):
        raise ValueError("its taken_at is invalid")
    energy = measurement.energy_mj
    if energy is not None and not all(_is_figure(energy[model]) for model in ("baseline", "candidate")):
        raise ValueError("its energy is invalid")


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX_MS


def _with_own_ratio(measurement: Measurement) -> Measurement:
    """Replaces the speed-up and its interval by those computed here."""
    ratio, interval = pair_ratio(measurement.baseline_ms, measurement.candidate_ms, measurement.sessions)
    share = measurement.repeat_share / math.sqrt(measurement.moments)
    return replace(measurement, ratio=ratio, ratio_ci95=widen(ratio, interval, share), moment_ci95=interval)


def peak_memory_in(answer: Mapping[str, Any]) -> int:
    """Reads the peak memory of an answer in bytes. Raises :class:`BuildFailed` for anything else."""
    size_bytes = answer.get("peak_memory_bytes")
    if type(size_bytes) is not int or size_bytes < 0:
        raise BuildFailed("the agent sent a peak memory that cannot be read", _HINT)
    return size_bytes


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_TEXT]
