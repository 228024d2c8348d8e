"""An agent whose measuring process does as a test says, by the number format of the candidate: a process of its own.

``AGENT_FAULTS`` names a folder. Each measurement that begins leaves a file ``begun-N`` there; while there is a file
``hold`` it waits; for a format with a file ``segfaults-FORMAT`` it dies of signal 11.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import onnx
from number_formats import number_formats

from evaluators.devices import device
from evaluators.measuring.attempt import Attempt
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement

_measure = device.measure_once


def measure(profile: Any, request: LatencyRequest, memory: Path) -> Attempt[Measurement]:
    """Measures, or what the test says."""
    folder = Path(os.environ["AGENT_FAULTS"])
    (folder / f"begun-{time.monotonic_ns()}").touch()
    # Questions about single layers are all answered.
    whole = any(output.name == "logits" for output in onnx.load(request.candidate).graph.output)
    for kind in number_formats(request.candidate) if whole else ():
        if (folder / f"segfaults-{kind.replace(' ', '-')}").exists():
            os.kill(os.getpid(), signal.SIGSEGV)
    while (folder / "hold").exists():
        time.sleep(0.01)
    return _measure(profile, request, memory)


def main() -> None:
    """``paretune agent`` with the options given."""
    from evaluators.agent.command import run_agent

    device.measure_once = measure
    sys.exit(run_agent(sys.argv[1:]))
