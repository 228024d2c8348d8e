"""Writes a description of this machine, from which other machines can model it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from evaluators.devices.device import Device, open_device
from evaluators.devices.reference_models import PRODUCT_OPERATIONS, READ_BYTES, Feed, write_product, write_reading
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles import Profile
from hwprofiles.description import Description, Figure
from hwprofiles.errors import CandidateError

PATIENCE_S = 120.0


def describe(
    name: str, profile: Profile, protocol: Protocol | None = None, say: Callable[[str], None] = lambda _: None
) -> Description:
    """Measures the peak rates of a profile's processor with its runtime; takes some seconds.

    The profile uses all cores. Computing is measured with a product of 1024 x 1024 matrices, memory by reading 64 MiB
    of weights. Without int8 if the runtime has no integer product. Raises as :meth:`Device.measure` does.
    """
    quick = protocol or Protocol().quick()
    method = f"measured with {profile.runtime} {profile.runtime_version} on {profile.threads} threads"
    rates: list[tuple[str, Figure]] = []
    device = open_device(profile)
    try:
        with tempfile.TemporaryDirectory(prefix="paretune-") as folder:
            path = Path(folder) / "model.onnx"
            for number_format, integers in (("fp32", False), ("int8", True)):
                say(f"measuring products in {number_format}")
                feed = write_product(path, integers=integers)
                try:
                    seconds = _measure_seconds(device, path, feed, quick)
                except CandidateError:
                    if not integers:
                        raise
                    continue
                rates.append((number_format, Figure(_round(PRODUCT_OPERATIONS / seconds), f"{method}: a product")))
            say("measuring memory")
            feed = write_reading(path)
            bandwidth = Figure(
                _round(READ_BYTES / _measure_seconds(device, path, feed, quick)), f"{method}: reading 64 MiB of weights"
            )
    finally:
        device.close()
    return Description(
        name=name,
        title=f"{profile.processor}, {profile.threads} cores",
        kind="cpu",
        processor=profile.processor,
        instruction_sets=profile.instruction_sets,
        cores=Figure(profile.threads, "usable where it was measured"),
        memory_bytes=Figure(profile.memory_bytes, "as the machine says"),
        bytes_per_s=bandwidth,
        operations_per_s=tuple(rates),
    )


def _measure_seconds(device: Device, path: Path, feed: Feed, protocol: Protocol) -> float:
    """Measures the fastest of all inferences, in seconds: peak rates are undisturbed ones."""
    measured = device.measure(LatencyRequest(path, path, feed, protocol, PATIENCE_S))
    return min(min(block) for block in (*measured.baseline_ms, *measured.candidate_ms)) / 1000


def _round(value: float) -> float:
    """Rounds to three digits, the accuracy of the measurement."""
    return float(f"{value:.3g}")
