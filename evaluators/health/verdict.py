"""Judges a machine's signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = ("healthy", "drifted", "throttled", "contended", "unknown")
"""From best to worst; ``unknown`` if a machine does not expose its load."""

_LOWER_IS_WORSE = ("clock_mhz", "gpu_clock_mhz")


@dataclass(frozen=True)
class Health:
    """Whether a measurement says what it would on a quiet machine."""

    verdict: str
    """One of :data:`VERDICTS`."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """Figures by name, see :data:`evaluators.health.watch.SIGNALS`."""
    unknown: tuple[str, ...] = ()
    """Names of the signals that the machine does not expose."""
    reasons: tuple[str, ...] = ()
    """Why the verdict is not ``healthy``, in words."""

    @property
    def healthy(self) -> bool:
        """Whether the verdict is ``healthy``."""
        return self.verdict == "healthy"

    @property
    def transient(self) -> bool:
        """Whether the machine was not fit for a reason that may go away: measuring again may give a better verdict."""
        return self.verdict not in ("healthy", "unknown")

    def merge(self, second: Health) -> Health:
        """Combines the health of two measurements: the worse verdict, and the worse figure of each signal."""
        signals = dict(self.signals)
        for name, value in second.signals.items():
            worse = min if name in _LOWER_IS_WORSE else max
            signals[name] = worse(value, signals.get(name, value))
        return Health(
            max(self.verdict, second.verdict, key=VERDICTS.index),
            signals,
            tuple(dict.fromkeys(self.unknown + second.unknown)),
            tuple(dict.fromkeys(self.reasons + second.reasons)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {
            "verdict": self.verdict,
            "signals": dict(self.signals),
            "unknown": list(self.unknown),
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Health:
        """Returns the inverse of :meth:`to_dict`. Raises ``ValueError`` for an unknown verdict."""
        if data["verdict"] not in VERDICTS:
            raise ValueError(f"unknown verdict {data['verdict']!r}")
        return cls(
            data["verdict"],
            {str(name): float(value) for name, value in data["signals"].items()},
            tuple(map(str, data["unknown"])),
            tuple(map(str, data.get("reasons", ()))),
        )


@dataclass(frozen=True)
class Tolerance:
    """The highest value of each signal in a healthy measurement."""

    others_share: float = 0.05
    wait_share: float = 0.05
    siblings_share: float = 0.15
    elsewhere_share: float = 0.30
    steal_share: float = 0.04
    quota_share: float = 0.01
    clock_drop_share: float = 0.10
    drift_share: float = 0.05
    shift_share: float = 0.02

    def judge(self, signals: Mapping[str, float], unknown: tuple[str, ...], *, threads: int = 1) -> Health:
        """Judges ``signals``; ``unknown`` names the missing ones, ``threads`` is the measured number of threads."""
        contention = self._contention(signals, threads)
        throttling = self._throttling(signals)
        drift = self._drift(signals)
        verdict = "healthy"
        if contention:
            verdict = "contended"
        elif throttling:
            verdict = "throttled"
        elif "others_share" not in signals and (threads > 1 or "wait_share" not in signals):
            return Health("unknown", signals, unknown, ("the machine does not show the load of the measured cores",))
        elif "gpu_others" in unknown:
            return Health("unknown", signals, unknown, ("the machine does not show which other processes use the GPU",))
        elif drift:
            verdict = "drifted"
        return Health(verdict, signals, unknown, (*contention, *throttling, *drift))

    def _contention(self, signals: Mapping[str, float], threads: int) -> list[str]:
        texts = {
            "others_share": "other processes used {:.0%} of the measured cores",
            "siblings_share": "other processes used {:.0%} of the measured cores' sibling threads",
            "elsewhere_share": "other processes used {:.0%} of the remaining cores",
            "steal_share": "the hypervisor took {:.0%} of the measured cores away",
            "quota_share": "the control group's quota held the process back for {:.0%} of the time"
            " (allow one core more than threads)",
        }
        # Several threads of our own wait for one another, too.
        if threads == 1:
            texts["wait_share"] = "the process waited for its core for {:.0%} of the time"
        reasons = [
            text.format(signals[name]) for name, text in texts.items() if signals.get(name, 0) > getattr(self, name)
        ]
        if signals.get("gpu_others", 0) > 0:
            reasons.append(f"other processes used the GPU: {signals['gpu_others']:.0f}")
        return reasons

    def _throttling(self, signals: Mapping[str, float]) -> list[str]:
        reasons = []
        if signals.get("throttles", 0) > 0:
            reasons.append(f"the processor counted {signals['throttles']:.0f} throttling events")
        if signals.get("cooling", 0) > 0:
            reasons.append("the system slowed the processor down to cool it")
        if signals.get("clock_drop_share", 0) > self.clock_drop_share:
            reasons.append(f"the clock dropped by {signals['clock_drop_share']:.0%} while measuring")
        if signals.get("below_base_share", 0) > self.clock_drop_share:
            reasons.append(f"the clock was {signals['below_base_share']:.0%} below the processor's base clock")
        if signals.get("gpu_slowed", 0) > 0:
            reasons.append("the driver slowed the GPU down")
        if signals.get("gpu_clock_drop_share", 0) > self.clock_drop_share:
            reasons.append(f"the GPU's clock dropped by {signals['gpu_clock_drop_share']:.0%} while measuring")
        return reasons

    def _drift(self, signals: Mapping[str, float]) -> list[str]:
        drift, shift = signals.get("drift_share", 0.0), signals.get("shift_share", 0.0)
        reasons = []
        if abs(drift) > self.drift_share:
            reasons.append(
                f"the baseline was {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than in recent measurements"
            )
        if shift > self.shift_share:
            reasons.append(f"not steady: the speed-up changed by {shift:.0%} during the measurement")
        return reasons


TOLERANCE = Tolerance()
