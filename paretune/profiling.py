"""Profiles models from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboards.cli.console import ProgressBar, as_text
from dashboards.cli.profiling import print_profile
from paretune.hints import hints_shown
from search.devices.lookup import DeviceRegistry
from search.folders import default_database


@dataclass(frozen=True)
class ProfileReport:
    """The measured times of a model and of its nodes; shows as the text of ``paretune profile``."""

    document: Mapping[str, Any] = field(repr=False)
    """The JSON document of ``paretune profile --format json``."""

    @property
    def latency_ms(self) -> float:
        """The median latency."""
        return float(self.document["latency_ms"]["p50"])

    @property
    def speedup(self) -> float | None:
        """The other model's time over this one's; None without another one."""
        return float(self.document["speedup"]["ratio"]) if "speedup" in self.document else None

    @property
    def findings(self) -> list[str]:
        """Why it is not faster, in sentences."""
        return [finding["text"] for finding in self.document["findings"]]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``paretune profile --format json``."""
        return dict(self.document)

    def __str__(self) -> str:
        return as_text(lambda: print_profile(self.to_dict()))

    __repr__ = __str__


@hints_shown()
def profile(
    model: str | os.PathLike[str],
    *,
    against: str | os.PathLike[str] | None = None,
    runtime: str | None = None,
    against_runtime: str | None = None,
    device: str = "local-cpu",
    threads: int = 1,
    batch: int = 1,
    progress: bool = True,
) -> ProfileReport:
    """Measures an ONNX model, or the folder of an export, against a second one or against itself.

    ``runtime`` is what executes the model, e.g. ``openvino:bf16``; default: what an export's manifest names, else the
    device's first one. Raises :class:`ParetuneError`.
    """
    from search.analysis.profiling import profile_model

    other = None if against is None else Path(against)
    with ProgressBar(shown=progress) as bar, DeviceRegistry.at(default_database()) as registry:
        profile = registry.find(device, threads, batch)
        return ProfileReport(
            profile_model(Path(model), other, profile, bar.say, runtime=runtime, against_runtime=against_runtime)
        )
