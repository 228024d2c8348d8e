"""The devices by name: built in, in the catalogue, or added by the user."""

from __future__ import annotations

from collections.abc import Callable

from hwprofiles import probe
from hwprofiles.catalogue import added_names, catalogue, described
from hwprofiles.core_types import best_first, type_of
from hwprofiles.errors import InvalidInput
from hwprofiles.idle_cores import spread
from hwprofiles.local_gpu import local_gpu
from hwprofiles.profile import Profile, check_threads
from hwprofiles.suggestions import nearest


def local_cpu(threads: int = 1, batch: int = 1) -> Profile:
    """This machine's processor under ONNX Runtime; pinned to ``threads`` of its usable cores: of the fastest type, of
    different physical cores as far as there are so many, and the last ones of these.

    Core 0 serves most interrupts, hence the last ones. Raises :class:`DeviceUnavailable` when fewer cores are usable.
    """
    cores = probe.usable_cores()
    check_threads("local-cpu", threads, len(cores), f"{len(cores)} cores are usable here")
    version = probe.package_version("onnxruntime")
    machine, types = probe.probe_machine(), probe.core_types()
    pinned = tuple(sorted(spread(best_first(cores, types), machine.siblings)[:threads]))
    return Profile(
        device="local-cpu",
        runtime="onnxruntime",
        runtime_version=version,
        processor=probe.processor_name(),
        instruction_sets=machine.instruction_sets,
        cores=pinned,
        memory_bytes=probe.memory_bytes(),
        threads=threads,
        batch=batch,
        runtimes=probe.processor_runtimes(),
        machine=machine,
        core_type=type_of(pinned, types),
    )


def dry_run(threads: int = 1, batch: int = 1) -> Profile:
    """A modelled device that executes nothing: the same everywhere, for tests and dry runs."""
    return Profile(
        device="dry-run",
        runtime="null",
        runtime_version="1",
        processor="modelled",
        instruction_sets=(),
        cores=(),
        memory_bytes=0,
        threads=threads,
        batch=batch,
        simulated=True,
    )


DEVICES: dict[str, Callable[[int, int], Profile]] = {
    "local-cpu": local_cpu,
    "local-gpu": local_gpu,
    "dry-run": dry_run,
}


def known_devices() -> dict[str, str]:
    """The name of every device, and where it is from: ``built-in``, ``catalogue`` or ``added``."""
    names = dict.fromkeys(DEVICES, "built-in")
    for origin, more in (("catalogue", catalogue()), ("added", added_names())):
        names |= {name: origin for name in more if names.get(name) != "built-in"}
    return names


def find_device(name: str, threads: int = 1, batch: int = 1) -> Profile:
    """The profile of a device by name.

    Raises :class:`InvalidInput` for an unknown one, naming the nearest, and for an added one whose file was spoilt;
    :class:`DeviceUnavailable` for one that is not there now, or has fewer cores than ``threads``.
    """
    if name in DEVICES:
        return DEVICES[name](threads, batch)
    found = described(name)
    if found is None:
        raise InvalidInput(f"unknown device {name!r}", nearest(name, known_devices()))
    return found.profile(threads, batch)
