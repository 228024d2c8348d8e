"""Where a model's time goes on this machine, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.measuring.process import pin
from evaluators.processes.locks import exclusive_device, measuring
from evaluators.processes.sandbox import in_own_process
from evaluators.runtimes import runtime_of
from evaluators.runtimes.base import TimedNode
from evaluators.tensors import Arrays
from hwprofiles import Profile


def measure_node_times(profile: Profile, model: Path, sample: Arrays, *, limit_s: float) -> list[TimedNode]:
    """The nodes that one inference on ``sample`` executes in the profile's runtime, in a process of its own, pinned and
    quiet as a measurement is. Empty where the runtime does not say. Raises what :meth:`Sandbox.call` raises."""
    with exclusive_device(profile), measuring():
        return in_own_process(_time_nodes, profile, model, dict(sample), stage="measuring", limit_s=limit_s)


def _time_nodes(profile: Profile, model: Path, sample: Mapping[str, Any]) -> list[TimedNode]:
    pin(profile)
    return runtime_of(profile.runtime).timed_nodes(model, sample, threads=profile.threads)
