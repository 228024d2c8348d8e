"""What a machine's signals come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = ("healthy", "drifted", "throttled", "contended", "unknown")
"""From the best to the worst; ``unknown`` where a machine shows nothing of its load."""

_LOWER_IS_WORSE = ("clock_mhz", "gpu_clock_mhz")


@dataclass(frozen=True)
class Health:
    """Whether a measurement can be trusted to say what it would on a quiet machine.

    ``signals`` are figures by name, ``unknown`` names the signals that the machine does not expose, ``reasons`` says in
    words what ``verdict`` (one of :data:`VERDICTS`) rests on, none where it is ``healthy``.
    """

    verdict: str
    signals: Mapping[str, float] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against the measurement."""
        return self.verdict == "healthy"

    @property
    def transient(self) -> bool:
        """Whether measuring again may give a better one."""
        return self.verdict not in ("healthy", "unknown")

    def merge(self, other: Health) -> Health:
        """Of two measurements together: the worse verdict, and of each signal the worse figure."""
        signals = dict(self.signals)
        for name, value in other.signals.items():
            worse = min if name in _LOWER_IS_WORSE else max
            signals[name] = worse(value, signals.get(name, value))
        return Health(
            max(self.verdict, other.verdict, key=VERDICTS.index),
            signals,
            tuple(dict.fromkeys(self.unknown + other.unknown)),
            tuple(dict.fromkeys(self.reasons + other.reasons)),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "verdict": self.verdict,
            "signals": dict(self.signals),
            "unknown": list(self.unknown),
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Health:
        """The inverse of :meth:`to_dict`; raises ``ValueError`` for a verdict that there is not."""
        if data["verdict"] not in VERDICTS:
            raise ValueError(f"no verdict is called {data['verdict']!r}")
        return cls(
            data["verdict"],
            {str(name): float(value) for name, value in data["signals"].items()},
            tuple(map(str, data["unknown"])),
            tuple(map(str, data.get("reasons", ()))),
        )


@dataclass(frozen=True)
class Tolerance:
    """How much of each signal a measurement may show and still be healthy."""

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
        """The verdict on ``signals``, of which those named in ``unknown`` are missing."""
        contended = self._contention(signals, threads)
        throttled = self._throttling(signals)
        drifted = self._drift(signals)
        verdict = "healthy"
        if contended:
            verdict = "contended"
        elif throttled:
            verdict = "throttled"
        elif "others_share" not in signals and (threads > 1 or "wait_share" not in signals):
            return Health("unknown", signals, unknown, ("the machine does not show who uses the measured cores",))
        elif "gpu_others" in unknown:
            return Health("unknown", signals, unknown, ("the machine does not show who else uses the GPU",))
        elif drifted:
            verdict = "drifted"
        return Health(verdict, signals, unknown, (*contended, *throttled, *drifted))

    def _contention(self, signals: Mapping[str, float], threads: int) -> list[str]:
        said = {
            "others_share": "others used {:.0%} of the measured cores",
            "siblings_share": "others used {:.0%} of the measured cores' sibling threads",
            "elsewhere_share": "others used {:.0%} of the remaining cores",
            "steal_share": "the hypervisor gave {:.0%} of the measured cores away",
            "quota_share": "the control group's quota held the process back for {:.0%} of the time"
            " (allow a core more than threads)",
        }
        # With several threads of our own, these wait for one another too.
        if threads == 1:
            said["wait_share"] = "the process waited for its core for {:.0%} of the time"
        found = [
            words.format(signals[name]) for name, words in said.items() if signals.get(name, 0) > getattr(self, name)
        ]
        if signals.get("gpu_others", 0) > 0:
            found.append(f"other processes had work on the GPU: {signals['gpu_others']:.0f}")
        return found

    def _throttling(self, signals: Mapping[str, float]) -> list[str]:
        found = []
        if signals.get("throttles", 0) > 0:
            found.append(f"the processor counted {signals['throttles']:.0f} throttling events")
        if signals.get("cooling", 0) > 0:
            found.append("the system slowed the processor down to cool it")
        if signals.get("clock_drop_share", 0) > self.clock_drop_share:
            found.append(f"the clock dropped by {signals['clock_drop_share']:.0%} while measuring")
        if signals.get("below_base_share", 0) > self.clock_drop_share:
            found.append(f"the clock was {signals['below_base_share']:.0%} below the processor's base clock")
        if signals.get("gpu_slowed", 0) > 0:
            found.append("the driver slowed the GPU down")
        if signals.get("gpu_clock_drop_share", 0) > self.clock_drop_share:
            found.append(f"the GPU's clock dropped by {signals['gpu_clock_drop_share']:.0%} while measuring")
        return found

    def _drift(self, signals: Mapping[str, float]) -> list[str]:
        drift, shift = signals.get("drift_share", 0.0), signals.get("shift_share", 0.0)
        found = []
        if abs(drift) > self.drift_share:
            found.append(f"the baseline took {abs(drift):.0%} {'longer' if drift > 0 else 'less long'} than lately")
        if shift > self.shift_share:
            found.append(f"not steady: the ratio moved by {shift:.0%} while it was measured")
        return found


TOLERANCE = Tolerance()
