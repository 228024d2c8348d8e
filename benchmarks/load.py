"""Load on the other cores that a benchmark starts and ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from hwprofiles import Profile
from hwprofiles.probe import usable_cores

_WORK = """
import os, random, sys, time
import numpy as np
owner, bursts = os.getppid(), float(sys.argv[1])
a, draw = np.random.rand(512, 512), random.Random(0)
while os.getppid() == owner:  # a benchmark that is killed leaves no load behind
    end = time.perf_counter() + (draw.uniform(0.1, 2 * bursts) if bursts else 1.0)
    while time.perf_counter() < end:
        a @ a
    if bursts:
        time.sleep(draw.uniform(0.1, 2 * bursts))
"""


@contextlib.contextmanager
def others_busy(profile: Profile, busy: bool, bursts_s: float = 0.0) -> Iterator[None]:
    """Where ``busy``, a process multiplies matrices on the cores that are not measured (where there are no others
    on the measured ones) without pause, or in bursts and pauses of about ``bursts_s`` seconds."""
    if not busy:
        yield
        return
    cores = set(usable_cores()) - set(profile.cores) or set(profile.cores)
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, str(bursts_s)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait()
