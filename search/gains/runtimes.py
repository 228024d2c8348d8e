"""Which runtimes a job's candidates choose among on a device."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.runtimes import RUNTIMES, runtime_of
from hwprofiles import Profile
from search.subject import Subject


def possible_runtimes(profile: Profile, choices: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The runtimes of a device with each of their hints, the device's first one first; of those, the ``choices``.

    Without choices, a processor's runtimes leave the GPU alone and a GPU's the processor: that would be another device.
    """
    first = profile.runtime
    found = [first]
    for name, _ in profile.runtimes:
        for hint in RUNTIMES[name].hints if name in RUNTIMES else ():
            spec = f"{name}:{hint}" if hint else name
            if _same(spec, first) or (choices and not any(_same(spec, choice) for choice in choices)):
                continue
            if choices or runtime_of(spec).on_gpu == runtime_of(first).on_gpu:
                found.append(spec)
    if choices and len(found) > 1 and not any(_same(first, choice) for choice in choices):
        found.remove(first)
    return tuple(found)


def kept_runtimes(subject: Subject, profile: Profile) -> dict[str, float]:
    """The runtimes among which a job's candidates choose on a device, with their speed-up in fp32; the first alone
    where :class:`search.techniques.runtime.RuntimeTechnique` asked for no others."""
    alone = {profile.runtime: 1.0}
    return alone if subject.runtimes is None else subject.kept.get(profile.digest, alone)


def fastest_of_families(kept: Mapping[str, float], first: str) -> dict[str, str]:
    """For each family of runtimes but the first one's, the runtime that is fastest in fp32."""
    found: dict[str, str] = {}
    for spec in sorted((one for one in kept if one != first), key=lambda one: -kept[one]):
        found.setdefault(runtime_of(spec).family, spec)
    return {family: spec for family, spec in found.items() if family != runtime_of(first).family}


def _same(one: str, other: str) -> bool:
    first, second = runtime_of(one), runtime_of(other)
    return (first.name, first.hint) == (second.name, second.hint)
