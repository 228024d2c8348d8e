"""Devices by name: built-in ones, those of the catalogue, and those that the user added."""

from __future__ import annotations

from collections.abc import Callable

from hwprofiles import probe
from hwprofiles.catalogue import catalogue, lookup_description, user_device_names
from hwprofiles.core_types import best_first, type_of
from hwprofiles.errors import InvalidInput
from hwprofiles.idle_cores import spread
from hwprofiles.local_gpu import local_gpu
from hwprofiles.profile import Profile, check_threads
from hwprofiles.suggestions import nearest


def local_cpu(threads: int = 1, batch: int = 1) -> Profile:
    """Probes this machine's processor, with ONNX Runtime as first runtime.

    Pinned to ``threads`` of the usable cores: of the fastest type, on different physical cores if possible, and the
    last ones, since core 0 serves most interrupts. Raises :class:`DeviceUnavailable` if there are fewer cores.
    """
    cores = probe.usable_cores()
    check_threads("local-cpu", threads, len(cores))
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
    """Returns a simulated device with made-up figures, the same on every machine: for tests and dry runs."""
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


def device_origins() -> dict[str, str]:
    """Returns the origin of every device by name: ``built-in``, ``catalogue`` or ``added``."""
    names = dict.fromkeys(DEVICES, "built-in")
    for origin, more in (("catalogue", catalogue()), ("added", user_device_names())):
        names |= {name: origin for name in more if names.get(name) != "built-in"}
    return names


def find_device(name: str, threads: int = 1, batch: int = 1) -> Profile:
    """Returns the profile of a device by name; real devices are probed.

    Raises :class:`InvalidInput` for an unknown name, with the nearest one as hint, and for an invalid description;
    :class:`DeviceUnavailable` for a device that is missing or has fewer cores than ``threads``.
    """
    if name in DEVICES:
        return DEVICES[name](threads, batch)
    description = lookup_description(name)
    if description is None:
        raise InvalidInput(f"unknown device {name!r}", nearest(name, device_origins()))
    return description.profile(threads, batch)
