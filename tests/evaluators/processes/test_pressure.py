"""Whether the machine is to blame that a stage came to nothing."""

from __future__ import annotations

import errno
import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.processes import pressure
from evaluators.processes.pressure import Pressure
from evaluators.processes.sandbox import Sandbox
from evaluators.processes.sandbox_child import _answer
from hwprofiles.errors import (
    BuildFailed,
    MachineBusy,
    MemoryShort,
    OutOfMemory,
    ProcessCrashed,
    StageTimeout,
    StorageError,
)


class Machine:
    """Counters that a test sets: ``busy_s`` of all cores, ``own`` of the stage (ran, waited), and ``kills``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.busy_s, self.own, self.kills = 0.0, 0.0, (0.0, 0.0), 0
        monkeypatch.setattr(pressure, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(pressure, "_busy_s", lambda: self.busy_s)
        monkeypatch.setattr(pressure, "_own_s", lambda process: self.own)
        monkeypatch.setattr(pressure, "_kills", lambda: self.kills)
        monkeypatch.setattr(pressure, "_cores", lambda: {0, 1})
        memory = SimpleNamespace(total=8_000_000_000, available=4_000_000_000)
        monkeypatch.setattr(pressure, "psutil", SimpleNamespace(virtual_memory=lambda: memory))
        self.memory = memory


@pytest.fixture(autouse=True)
def idle_machine() -> None:
    """Here the machine may be as busy as it is."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("busy_s", "own", "starved"),
    [
        (18.0, (2.0, 5.0), True),
        (18.0, (2.0, 0.1), False),  # it waited for something else: it hangs
        (10.0, (8.0, 5.0), False),  # its own threads wait for one another
        (0.0, (9.0, 5.0), False),  # a container that shows no counters
    ],
)
def test_a_stage_is_starved_where_others_have_the_machine_and_it_waits(
    machine: Machine, busy_s: float, own: tuple[float, float], starved: bool
) -> None:
    asked = Pressure()
    machine.now_s, machine.busy_s, machine.own = 10.0, busy_s, own
    assert asked.starves(1) is starved


def test_a_kill_for_want_of_memory_is_the_machines_unless_the_process_was_large(machine: Machine) -> None:
    asked = Pressure()
    assert not asked.ran_out_of_memory(1_000_000)
    machine.kills += 1
    assert asked.ran_out_of_memory(1_000_000)
    assert not asked.ran_out_of_memory(5_000_000_000)
    assert not Pressure().ran_out_of_memory(1_000_000), "what was before is not counted"


def test_memory_is_short_where_hardly_any_is_left(machine: Machine) -> None:
    assert not pressure.memory_is_short()
    machine.memory.available = 100_000_000
    assert pressure.memory_is_short()


def test_the_counters_of_this_machine_can_be_read() -> None:
    own_before = pressure._own_s(os.getpid())
    began_s = time.process_time()
    while time.process_time() < began_s + 0.05:
        pass
    assert pressure._own_s(os.getpid())[0] > own_before[0]
    assert pressure._busy_s() >= 0.0
    assert pressure._kills() >= 0
    assert pressure._own_s(2**22 + 1) == (0.0, 0.0), "a process that there is not"


def _sleeps() -> None:
    time.sleep(60)


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class TestSandbox:
    @pytest.mark.parametrize(("starved", "kind"), [(True, MachineBusy), (False, StageTimeout)])
    def test_a_timeout(self, monkeypatch: pytest.MonkeyPatch, starved: bool, kind: type[Exception]) -> None:
        monkeypatch.setattr(Pressure, "starves", lambda *_: starved)
        sandbox = Sandbox()
        with pytest.raises(kind, match=r"measuring: took longer than 0\.1 s") as caught:
            sandbox.call(_sleeps, stage="measuring", limit_s=0.1)
        assert type(caught.value) is kind
        sandbox.close()

    @pytest.mark.parametrize(("short", "kind"), [(True, MemoryShort), (False, ProcessCrashed)])
    def test_a_killed_process(self, monkeypatch: pytest.MonkeyPatch, short: bool, kind: type[Exception]) -> None:
        peaks: list[int] = []
        monkeypatch.setattr(Pressure, "ran_out_of_memory", lambda _, peak: bool(peaks.append(peak)) or short)
        sandbox = Sandbox()
        with pytest.raises(kind, match=r"killed its process|died 3 times") as caught:
            sandbox.call(_dies, stage="measuring", limit_s=60)
        assert type(caught.value) is kind
        assert len(peaks) == 3
        assert min(peaks) > 1_000_000
        sandbox.close()


def _raise(error: BaseException) -> Any:
    raise error


def _raise_from(error: BaseException) -> Any:
    raise ValueError("saving failed") from error


class TestChild:
    @pytest.mark.parametrize("fails", [_raise, _raise_from])
    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device", "/cache/x"),
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            RuntimeError("onnxruntime: write failed: No space left on device"),
        ],
    )
    def test_a_full_disk_is_not_the_candidates(self, fails: Any, error: BaseException) -> None:
        kind, payload = _answer(fails, (error,))
        assert (kind, type(payload)) == ("error", StorageError)
        assert payload.hint == "free some space"

    def test_other_errors_are(self) -> None:
        assert type(_answer(_raise, (OSError(errno.ENOENT, "No such file"),))[1]) is BuildFailed

    @pytest.mark.parametrize(("short", "kind"), [(True, MemoryShort), (False, OutOfMemory)])
    def test_no_memory(self, monkeypatch: pytest.MonkeyPatch, short: bool, kind: type[Exception]) -> None:
        monkeypatch.setattr("evaluators.processes.sandbox_child.memory_is_short", lambda: short)
        assert type(_answer(_raise, (MemoryError(),))[1]) is kind
