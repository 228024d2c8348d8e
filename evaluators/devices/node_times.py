"""Measures the time of each node of a model on this machine."""

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
    """Measures the nodes of one inference on ``sample`` in the profile's runtime, within ``limit_s``.

    Runs in a child process, pinned and quiet like any measurement. Empty if the runtime cannot tell. Raises as
    :meth:`Sandbox.call` does.
    """
    with exclusive_device(profile), measuring():
        return in_own_process(_time_nodes, profile, model, dict(sample), stage="measuring", limit_s=limit_s)


def _time_nodes(profile: Profile, model: Path, sample: Mapping[str, Any]) -> list[TimedNode]:
    pin(profile)
    return runtime_of(profile.runtime).time_nodes(model, sample, threads=profile.threads)
