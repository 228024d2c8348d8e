"""Functions of the measuring process: pinned to the profile's cores, watching the machine meanwhile."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from evaluators.health import GpuCounters, Health, History, Repeats, Watch, widen
from evaluators.health.history import baseline_key
from evaluators.measuring.attempt import Attempt
from evaluators.measuring.energy import find_meter, measure_energy
from evaluators.measuring.latency import LatencyRequest, Open, measure_pair
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.outputs import run_samples
from evaluators.measuring.throughput import Load, Throughput, measure_load
from evaluators.processes.freed_memory import without_leftovers
from evaluators.runtimes import runtime_of, with_two_builds
from evaluators.runtimes.base import Runtime, Session
from evaluators.tensors import Array
from hwprofiles import Profile, digest_of, digest_of_file
from hwprofiles.cuda import cuda_bus_id
from hwprofiles.errors import UnhealthyMeasurement

Sample = Mapping[str, Array]

LARGE_MODEL_BYTES = 128 * 2**20
"""Files above this size are opened with freed memory returned at once."""


def measure_once(profile: Profile, request: LatencyRequest, memory: Path) -> Attempt[Measurement]:
    """Makes one attempt at a paired latency; ``memory`` is the folder of the baselines' history."""
    spec, protocol, sample = request.runtime or profile.runtime, request.protocol, request.sample
    marks, cores = pin(profile)
    openers = _openers(profile, spec, request.baseline, request.candidate, profile.threads)
    ours, theirs = digest_of_file(request.baseline), digest_of_file(request.candidate)
    watch = _watch(profile, cores, profile.threads)
    try:
        measured = measure_pair(
            *openers,
            sample,
            profile_digest=profile.digest,
            runtime=spec,
            runtime_version=runtime_of(spec).version(),
            protocol=protocol.on(threads=profile.threads, gpu=profile.gpu is not None),
            marks=marks,
            seed=_seed(profile, spec, ours, theirs),
            look=watch.look,
        )
    except UnhealthyMeasurement as error:
        return Attempt(watch.health(), None, error.message)
    history = History(memory, profile.digest)
    key = baseline_key(ours, profile.threads, {name: list(values.shape) for name, values in sample.items()})
    median_ms = float(np.median([ms for block in measured.baseline_ms for ms in block]))
    health = watch.health(
        drift_share=history.drift_share(key, median_ms) if protocol.drift else None,
        shift_share=measured.shift if protocol.drift else None,
    )
    if protocol.drift and health.verdict in ("healthy", "drifted"):
        history.remember(key, median_ms)
    if ours != theirs or spec != profile.runtime:  # a file against itself has a ratio of 1 at any time
        repeats = Repeats(memory, digest_of([profile.digest, spec]))
        measured = _widen_by_repeats(measured, repeats, [key, theirs, spec], health)
    if protocol.energy_s > 0 and not health.transient:
        energy_mj = _measure_energy_mj(profile, spec, cores, openers, sample, protocol.energy_s)
        measured = replace(measured, energy_mj=energy_mj)
    return Attempt(health, replace(measured, taken_at=time.time()))


def _measure_energy_mj(
    profile: Profile,
    spec: str,
    cores: tuple[int, ...],
    openers: tuple[Open, Open],
    sample: Sample,
    window_s: float,
) -> dict[str, Any] | None:
    """Measures :attr:`Measurement.energy_mj`.

    None without a counter, and if the machine was not healthy meanwhile: the counter includes other load.
    """
    meter = find_meter(profile, (runtime_of(profile.runtime), runtime_of(spec)))
    if meter is None:
        return None
    watch = _watch(profile, cores, profile.threads)
    energy_mj = measure_energy(*openers, sample, meter, window_s=window_s, look=watch.look)
    return energy_mj if watch.health().healthy else None


def _widen_by_repeats(measured: Measurement, repeats: Repeats, pair: list[str], health: Health) -> Measurement:
    """Remembers a measurement, and widens its interval by the ``pair``'s variation between measurements."""
    repeats.remember(digest_of(pair)[:32], measured.ratio, measured.ratio_ci95, healthy=health.healthy)
    share = repeats.share(healthy=health.healthy)
    return replace(measured, repeat_share=share, ratio_ci95=widen(measured.ratio, measured.ratio_ci95, share))


def measure_load_once(
    profile: Profile, spec: str, baseline: Path, candidate: Path, sample: Sample, load: Load
) -> Attempt[Throughput]:
    """Makes one attempt at a paired throughput."""
    _, cores = pin(profile)
    streams, threads = load.split(profile.threads)
    openers = _openers(profile, spec, baseline, candidate, threads)
    seed = _seed(profile, spec, digest_of_file(baseline), digest_of_file(candidate))
    watch = _watch(profile, cores, max(streams, profile.threads))
    try:
        measured = measure_load(
            *openers, sample, load=load.on(gpu=profile.gpu is not None), streams=streams, batch=profile.batch,
            seed=seed, look=watch.look,
        )  # fmt: skip
    except UnhealthyMeasurement as error:
        return Attempt(watch.health(), None, error.message)
    return Attempt(watch.health(), measured)


def _seed(profile: Profile, spec: str, baseline_sha256: str, candidate_sha256: str) -> int:
    """Returns a seed for a pair of files on a profile, so that a repeated measurement draws the same order."""
    return int(digest_of([profile.digest, spec, baseline_sha256, candidate_sha256])[:12], 16)


def measure_start_ms(profile: Profile, spec: str, model: Path, sample: Sample) -> tuple[float, float]:
    """Times opening a model and its first inference in ms: the first time in this process, and the second."""
    pin(profile)
    runtime = runtime_of(spec)
    runtime.version()
    times_ms = []
    for _ in range(2):
        start = time.perf_counter()
        session = runtime.open(model, threads=profile.threads)
        try:
            session.run(sample)
            times_ms.append((time.perf_counter() - start) * 1000)
        finally:
            session.close()
    return times_ms[0], times_ms[1]


def measure_peak_memory(profile: Profile, spec: str, model: Path, sample: Sample) -> int:
    """Measures a model's peak memory in bytes, above the process's memory with the runtime imported."""
    pin(profile)
    runtime = runtime_of(spec)
    runtime.version()
    before = psutil.Process().memory_info().rss
    session = runtime.open(model, threads=profile.threads)
    try:
        for _ in range(3):
            session.run(sample)
    finally:
        session.close()
    return max(0, _high_water_bytes() - before)


def compute_outputs(profile: Profile, spec: str, model: Path, samples: Sample) -> dict[str, Array]:
    """Computes a model's outputs for samples, in batches of the profile's size."""
    pin(profile)
    session = runtime_of(spec).open(model, threads=profile.threads)
    try:
        return run_samples(session, samples, profile.batch)
    finally:
        session.close()


def _openers(profile: Profile, spec: str, baseline: Path, candidate: Path, threads: int) -> tuple[Open, Open]:
    """Functions that open the two files. First checks, once per file, that all nodes run on the intended device.

    A candidate that is built once is compared with one build of the baseline, any other with two builds, so that the
    interval covers the variation between builds.
    """
    single_build = with_two_builds(spec) != spec
    first, runtime = runtime_of(profile.runtime if single_build else with_two_builds(profile.runtime)), runtime_of(spec)
    for executor, model in ((first, baseline), (runtime, candidate)):
        key = (executor.name, executor.hint, *_content(model))
        if key not in _placed:
            with _saving_memory(model):
                executor.check_placement(model, threads=threads)
            _placed.add(key)
    return _opener(first, baseline, threads), _opener(runtime, candidate, threads)


def _opener(runtime: Runtime, model: Path, threads: int) -> Open:
    def open_session() -> Session:
        with _saving_memory(model):
            return runtime.open(model, threads=threads)

    return open_session


def _saving_memory(model: Path) -> contextlib.AbstractContextManager[None]:
    """Returns freed memory at once while a large file is opened, so that two of them fit into memory."""
    large = model.is_file() and model.stat().st_size > LARGE_MODEL_BYTES
    return without_leftovers() if large else contextlib.nullcontext()


_placed: set[tuple[object, ...]] = set()


def _content(model: Path) -> tuple[object, ...]:
    try:
        stat = model.stat()
    except OSError:
        return str(model), None
    return str(model), stat.st_mtime_ns, stat.st_size, stat.st_ino


def pin(profile: Profile) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Pins this process, and all threads that sessions start later, to the profile's cores.

    Returns marks (``unpinned`` if the system refused), and the cores that the process may run on.
    """
    marks: tuple[str, ...] = ("unpinned",)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, profile.cores)
        marks = ()
    with contextlib.suppress(OSError, AttributeError):
        return marks, tuple(sorted(os.sched_getaffinity(0)))
    return marks, profile.cores


def _watch(profile: Profile, cores: tuple[int, ...], threads: int) -> Watch:
    gpu = None if profile.gpu is None else GpuCounters(cuda_bus_id())
    return Watch(cores, threads=threads, gpu=gpu)


def _high_water_bytes() -> int:
    """Returns the process's own peak memory. ``getrusage`` would include the parent's, which a spawned process
    inherits."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
