"""A user's task whose ``evaluate`` misbehaves for some candidates: the fp32 model's outputs are always welcome."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from small_jobs import classifier, samples

from hwprofiles.digest import digest_of
from hwprofiles.errors import InvalidInput
from search.tasks import Predict, Split, Task

FOLDER = Path(__file__).parent
MOST_BYTES = 4_000_000_000  # if nobody ends this process, it ends itself


class FaultyTask(Task):
    """The k-th new set of outputs meets the k-th of ``faults``, each time that it is seen; all later ones none."""

    def __init__(self, faults: list[str], innocent_pid: int | None = None) -> None:
        self.faults, self.innocent_pid = faults, innocent_pid
        self.digest = digest_of(["faulty", str(FOLDER)])
        self.rows = samples(48)["x"]
        print("this task prints what nobody asked for")

    def export(self, path: Path, *, trained: bool = True) -> None:
        path.write_bytes(classifier(2).SerializeToString())

    def inputs(self, split: Split) -> dict[str, Any]:
        return {"x": self.rows}

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        outputs = predict(self.inputs(split))["logits"]
        name = digest_of(np.round(outputs, 4).tolist())
        file = FOLDER / "seen.json"
        seen = json.loads(file.read_text()) if file.exists() else [name]  # the first of all is fp32
        if name not in seen:
            seen.append(name)
        file.write_text(json.dumps(seen))
        number = seen.index(name) - 1
        if self.innocent_pid is not None and os.getpid() != self.innocent_pid:
            number = 0
        if 0 <= number < len(self.faults):
            return FAULTS[self.faults[number]]()
        return {"wit": 1.0}


def make_task(faults: list[str], innocent_pid: int | None = None) -> FaultyTask:
    """With ``innocent_pid``, every other process meets the first fault, whatever it evaluates."""
    return FaultyTask(faults, innocent_pid)


def _raises() -> Any:
    raise ValueError("this candidate is not to my taste\nand here is more")


def _refuses() -> Any:
    raise InvalidInput("this candidate is not for me", "try another")


def _exits() -> Any:
    sys.exit("goodbye")


def _hangs() -> Any:
    while True:
        time.sleep(1)


def _hoards() -> Any:
    hoard = []
    while sum(part.nbytes for part in hoard) < MOST_BYTES:
        hoard.append(np.ones(4_000_000))
        time.sleep(0.01)
    return {"wit": 1.0}


def _dies() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfaults() -> Any:
    ctypes.string_at(0)


FAULTS: dict[str, Any] = {
    "none": lambda: {"wit": 1.0},
    "raises": _raises, "nan": lambda: {"wit": float("nan")}, "infinity": lambda: {"wit": float("inf")},
    "text": lambda: {"wit": "none"}, "nothing": lambda: None, "refuses": _refuses, "exits": _exits, "hangs": _hangs,
    "hoards": _hoards, "dies": _dies, "segfaults": _segfaults,
}  # fmt: skip
