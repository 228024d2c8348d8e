"""A job that a test drives as a controller would: candidates with made-up figures, a front, an end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hwprofiles import Profile, find_device
from search.outcome import TrialOutcome
from search.space.candidate import Decision, Space
from search.states import JobState, TrialState
from search.store import Lease, Store, this_process

HOSTILE = "<script>alert(1)</script>"
LAYERS = ("stem", "block1.conv1", "block1.conv2", "block2.conv1", "block2.conv2", HOSTILE, "head")
OBJECTIVES = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}]
BASELINE = {
    "metrics": {"accuracy": 0.97, "latency_ms": {"p50": 7.1, "ci95": [7.0, 7.2], "n": 300}, "size_bytes": 1_400_000},
    "facts": {},
}


@dataclass
class Search:
    """A job that a test drives as a controller would."""

    store: Store
    lease: Lease
    space: Space
    ids: list[str]

    @property
    def job_id(self) -> str:
        return self.lease.job_id

    def add(self, count: int = 1) -> None:
        """Measure the next candidates: the k-th has the first layers in int8, and more speed for less quality."""
        for number in range(len(self.ids), len(self.ids) + count):
            bits = format(number % 2 ** len(LAYERS), f"0{len(LAYERS)}b")
            values = {layer: "int8" if bit == "1" else "fp32" for layer, bit in zip(LAYERS, bits, strict=True)}
            values["width"] = "full" if number < 2 ** len(LAYERS) else "half"
            row = self.store.trials.add(self.lease, 0, "nsga2", True, [(number, self.space.candidate(values))])[0]
            metrics = figures(number, bits)
            state = TrialState.DONE if metrics["cosine"] > 0.9 else TrialState.INFEASIBLE
            reason = None if state is TrialState.DONE else f"{HOSTILE} cosine >= 0.9: {metrics['cosine']:.4f}"
            record = {"n": 64, "samples": [metrics["latency_ms"]["p50"]] * 64, "health": {"verdict": "ok"}}
            self.store.trials.finish(
                self.lease,
                row.candidate_id,
                TrialOutcome(state, reason=reason, metrics=metrics, measurement=record, wall_s=0.5),
            )
            self.ids.append(row.candidate_id)

    def fail(self, reason: str = f"operator {HOSTILE} is not supported") -> None:
        """One candidate that cannot run."""
        number = len(self.ids)
        values = dict.fromkeys(LAYERS, "int4") | {"width": "half" if number % 2 else "full"}
        row = self.store.trials.add(self.lease, 0, "nsga2", True, [(number, self.space.candidate(values))])[0]
        self.store.trials.finish(self.lease, row.candidate_id, TrialOutcome(TrialState.UNSUPPORTED_OP, reason=reason))
        self.ids.append(row.candidate_id)

    def store_front(self, members: list[int], tied: dict[int, list[int]] | None = None, final: bool = False) -> None:
        """A version of the front with these trial numbers."""
        ties = {self.ids[one]: [self.ids[other] for other in others] for one, others in (tied or {}).items()}
        front = {
            "objectives": OBJECTIVES,
            "hypervolume": {"value": 0.21, "reference": {"cosine": 0.9, "speedup": 1.0}},
            "members": [self.ids[number] for number in members],
            "tied_with": ties,
            "nearest_miss": None,
            "final": final,
        }
        self.store.fronts.add(self.lease, front)

    def learn(self, updates: int = 8) -> None:
        """A learning curve: two rewards an update, of two policies one after the other."""
        rewards = [
            {"trial": number % len(self.ids), "policy": "removal" if number < updates else "shrinkage",
             "update": number % updates // 2 + 1, "value": 0.5 - 1 / (2 + number), "weight": 1.0, "stage": None}
            for number in range(2 * updates)
        ]  # fmt: skip
        self.store.jobs.set_strategy_state(self.lease, {"_block": 1, "_rewards": rewards})

    def end(self, state: JobState = JobState.DONE) -> None:
        """Bring the job to its end."""
        self.store.jobs.set_state(self.lease, state)


def figures(number: int, bits: str) -> dict[str, Any]:
    """Plausible figures: each int8 layer brings speed and costs quality, some layers more than others."""
    changed = [int(bit) * (1 + i) for i, bit in enumerate(bits)]
    speedup = 1.0 + 0.11 * sum(changed) + 0.05 * math.sin(number)
    cosine = 1.0 - 0.0016 * sum(changed) ** 1.3 - (0.002 * (1 + math.cos(number)) if sum(changed) else 0.0)
    latency = 7.1 / speedup
    return {
        "cosine": round(cosine, 6),
        "accuracy": round(0.97 - (1 - cosine) / 3, 4),
        "speedup": {"ratio": round(speedup, 4), "ci95": [round(speedup * 0.97, 4), round(speedup * 1.03, 4)]},
        "latency_ms": {"p50": round(latency, 3), "ci95": [round(latency * 0.98, 3), round(latency * 1.02, 3)], "n": 64},
        "size_bytes": 1_400_000 - 40_000 * sum(changed),
    }


def open_search(store: Store, name: str = "digits-here", profile: Profile | None = None) -> Search:
    """A running, prepared job without candidates."""
    precision = [
        Decision(layer, ("fp32", "int8", "int4"), "precision", target=layer, scope="layer") for layer in LAYERS
    ]
    space = Space((*precision, Decision("width", ("full", "half"), "student")), context="test")
    spec = {
        "version": 1,
        "name": name,
        "task": {"name": "digits", "options": {}},
        "objectives": OBJECTIVES,
        "constraints": ["cosine >= 0.9"],
        "strategy": {"name": "nsga2", "options": {}},
        "budget": {"trials": 60, "minutes": None},
    }
    job_id = store.jobs.create(name=name, spec=spec, spec_folder=".", profile=profile or find_device("dry-run"))
    lease = store.jobs.lease(job_id, this_process(), lease_s=600.0)
    store.jobs.set_state(lease, JobState.RUNNING)
    store.jobs.set_preparation(lease, space=space.to_dict(), baseline=BASELINE)
    return Search(store, lease, space, [])
