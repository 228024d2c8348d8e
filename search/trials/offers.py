"""Collects the offers of a job's techniques on its devices into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evaluators.devices.device import Device
from search.budget.stopwatch import Stopwatch
from search.job.devices import JobDevice
from search.space.candidate import Decision, runtime_decision
from search.space.merging import merge_decisions
from search.techniques import Offer, Technique


def collect_offers(
    techniques: Mapping[str, Technique],
    devices: Sequence[tuple[JobDevice, Device | None]],
    earlier: Offer,
    stopwatch: Stopwatch,
) -> Offer:
    """Asks every technique for its offer on every device, in minutes, and merges the offers, ``earlier`` included.

    Each device has decisions of its own about what executes the model. Answers hold the ``device`` if there are
    several.
    """
    decisions, answers = list(earlier.decisions), list(earlier.answers)
    for name, technique in techniques.items():
        proposals: list[Sequence[Decision]] = []
        for job_device, device in devices:
            with stopwatch.timing(f"benchmarking {name}"):
                offer = technique.offer(device, earlier)
            earlier = earlier.merge(offer)
            proposals.append(_on_further_device(offer.decisions, job_device) if proposals else offer.decisions)
            label = {"device": job_device.label} if len(devices) > 1 else {}
            answers += [{**label, **answer} for answer in offer.answers]
        decisions += merge_decisions(proposals)
    return replace(earlier, decisions=tuple(decisions), answers=tuple(answers))


def _on_further_device(decisions: Sequence[Decision], device: JobDevice) -> list[Decision]:
    """Returns the decisions of a further device; those about what executes the model are its own."""
    name, label = runtime_decision(device.label), device.label
    return [replace(d, name=name, device=label) if d.scope == "device" else d for d in decisions]
