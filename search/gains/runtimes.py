"""The runtimes that a job's candidates choose from on a device."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.runtimes import RUNTIMES, runtime_of
from hwprofiles import Profile
from search.space.offer import Offer
from search.subject import Subject


def possible_runtimes(profile: Profile, choices: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns the runtimes of a device with each of their hints, the device's first one first, limited to ``choices``.

    Without choices, runtimes of a processor exclude those of the GPU and the reverse: that would be another device.
    """
    first = profile.runtime
    specs = [first]
    for name, _ in profile.runtimes:
        for hint in RUNTIMES[name].hints if name in RUNTIMES else ():
            spec = f"{name}:{hint}" if hint else name
            if _is_equal(spec, first) or (choices and not any(_is_equal(spec, choice) for choice in choices)):
                continue
            if choices or runtime_of(spec).on_gpu == runtime_of(first).on_gpu:
                specs.append(spec)
    if choices and len(specs) > 1 and not any(_is_equal(first, choice) for choice in choices):
        specs.remove(first)
    return tuple(specs)


def candidate_runtimes(subject: Subject, profile: Profile, earlier: Offer) -> dict[str, float]:
    """Returns the runtimes that a job's candidates choose from on a device, with their speed-up in fp32.

    Only the first one unless ``earlier`` holds others, which
    :class:`search.techniques.runtime.RuntimeTechnique` benchmarked.
    """
    first_only = {profile.runtime: 1.0}
    speedups = earlier.runtime_speedups.get(profile.digest, first_only)
    return first_only if subject.runtimes is None else dict(speedups)


def fastest_of_families(speedups: Mapping[str, float], first: str) -> dict[str, str]:
    """Returns the runtime that is fastest in fp32 for each family except the family of ``first``."""
    fastest: dict[str, str] = {}
    for spec in sorted((spec for spec in speedups if spec != first), key=lambda spec: -speedups[spec]):
        fastest.setdefault(runtime_of(spec).family, spec)
    return {family: spec for family, spec in fastest.items() if family != runtime_of(first).family}


def _is_equal(spec: str, reference: str) -> bool:
    first, second = runtime_of(spec), runtime_of(reference)
    return (first.name, first.hint) == (second.name, second.hint)
