"""The built-in devices, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from hwprofiles import probe
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from hwprofiles.profile import Profile


def local_cpu(threads: int = 1, batch: int = 1) -> Profile:
    """This machine's processor under ONNX Runtime; pinned to the last ``threads`` of its usable cores.

    Core 0 serves most interrupts, hence the last ones. Raises :class:`DeviceUnavailable` when fewer cores are usable.
    """
    cores = probe.usable_cores()
    if threads > len(cores):
        raise DeviceUnavailable(
            f"device 'local-cpu' was asked for {threads} threads, but {len(cores)} cores are usable here",
            f"set threads to {len(cores)} or fewer",
        )
    return Profile(
        device="local-cpu",
        runtime="onnxruntime",
        runtime_version=probe.package_version("onnxruntime"),
        processor=probe.processor_name(),
        instruction_sets=probe.instruction_sets(),
        cores=cores[-threads:],
        memory_bytes=probe.memory_bytes(),
        threads=threads,
        batch=batch,
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


DEVICES: dict[str, Callable[[int, int], Profile]] = {"local-cpu": local_cpu, "dry-run": dry_run}


def find_device(name: str, threads: int = 1, batch: int = 1) -> Profile:
    """The profile of a device by name; raises :class:`InvalidInput` for an unknown one, naming the nearest."""
    if name not in DEVICES:
        near = difflib.get_close_matches(name, DEVICES, n=1)
        raise InvalidInput(
            f"unknown device {name!r}",
            f"did you mean {near[0]!r}?" if near else f"known devices: {', '.join(sorted(DEVICES))}",
        )
    return DEVICES[name](threads, batch)
