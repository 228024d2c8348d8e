"""What a sandbox promises when its child answers, misbehaves, hangs or dies."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from evaluators.processes.sandbox import Sandbox
from evaluators.processes.sandbox_child import report, waiting
from hwprofiles.errors import (
    BuildFailed,
    InvalidInput,
    OutOfMemory,
    ParetuneError,
    ProcessCrashed,
    StageTimeout,
    UnsupportedOp,
)

FOREVER_S = 600.0
PATIENCE_S = 60.0


# What the child is asked to do.


def add(a: int, b: int) -> int:
    return a + b


def fail(kind: type[BaseException], *args: object) -> None:
    raise kind(*args)


def tell(*lines: str) -> int:
    for line in lines:
        report(line)
    return len(lines)


def wait_for_quiet(wait_s: float, work_s: float = 0.0) -> str:
    with waiting():
        time.sleep(wait_s)
    time.sleep(work_s)
    return "done"


def babble() -> None:
    while True:
        report("still here")


def speak(text: str) -> None:
    print(text, flush=True)


def hold(size_bytes: int) -> None:
    ballast = b"x" * size_bytes
    report("holding")
    time.sleep(FOREVER_S)
    del ballast


def have_held(size_bytes: int) -> None:
    """As :func:`hold`, but in a child of the child."""
    subprocess.run([sys.executable, "-c", f"import time; held = b'x' * {size_bytes}; time.sleep(600)"], check=True)


def start_helper_and_hang() -> None:
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report(str(helper.pid))
    time.sleep(FOREVER_S)


def answer_what_cannot_travel() -> Callable[[], int]:
    return lambda: 0


def exit_now() -> None:
    os._exit(3)


def segfault() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.raise_signal(signal.SIGSEGV)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die(calls: Path, times: int, how: Callable[[], None]) -> str:
    """Dies in the first ``times`` calls; ``calls`` counts them all."""
    with calls.open("a") as file:
        file.write("x")
    if len(calls.read_text()) <= times:
        how()
    return "alive"


def process_id() -> int:
    return os.getpid()


# What the tests share.


def _gone(pid: int) -> bool:
    """Whether a process ends within a while; one that nobody has buried yet counts as gone."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child imports this module."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def sandbox(told: list[str]) -> Iterator[Sandbox]:
    before = set(psutil.Process().children(recursive=True))
    opened = Sandbox(progress=told.append)
    yield opened
    opened.close()
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture(scope="class")
def lasting() -> Iterator[Sandbox]:
    """One whose child outlives the test; for tests that leave it alive."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        opened = Sandbox()
        ask(opened, process_id)
    yield opened
    opened.close()


def ask(sandbox: Sandbox, function: Callable[..., object], *args: object, limit_s: float = PATIENCE_S) -> object:
    return sandbox.call(function, *args, stage="training", limit_s=limit_s)


class TestAnswers:
    def test_a_value(self, lasting: Sandbox) -> None:
        assert ask(lasting, add, 2, 3) == 5

    def test_it_is_another_process_and_stays_the_same(self, lasting: Sandbox) -> None:
        first = ask(lasting, process_id)
        assert first != os.getpid()
        assert ask(lasting, process_id) == first

    @pytest.mark.parametrize("kind", [UnsupportedOp, BuildFailed, InvalidInput])
    def test_our_own_errors_pass_through(self, lasting: Sandbox, kind: type[ParetuneError]) -> None:
        child = ask(lasting, process_id)
        with pytest.raises(kind) as caught:
            ask(lasting, fail, kind, "no kernel for Foo", "leave Foo in fp32")
        assert type(caught.value) is kind
        assert (caught.value.message, caught.value.hint) == ("no kernel for Foo", "leave Foo in fp32")
        assert ask(lasting, process_id) == child

    @pytest.mark.parametrize(
        ("kind", "text", "message"),
        [
            (KeyError, "lost", "KeyError: 'lost'"),
            (ValueError, "first line\nsecond line", "ValueError: first line"),
            (RuntimeError, "", "RuntimeError: "),
            (SystemExit, "usage: no", "SystemExit: usage: no"),
        ],
    )
    def test_any_other_error_is_a_failed_build(
        self, lasting: Sandbox, kind: type[BaseException], text: str, message: str
    ) -> None:
        with pytest.raises(BuildFailed) as caught:
            ask(lasting, fail, kind, text)
        assert caught.value.message == message
        assert ask(lasting, add, 1, 1) == 2

    def test_memory_that_the_system_refuses(self, lasting: Sandbox) -> None:
        with pytest.raises(OutOfMemory):
            ask(lasting, fail, MemoryError)

    def test_a_value_that_cannot_travel(self, lasting: Sandbox) -> None:
        child = ask(lasting, process_id)
        with pytest.raises(BuildFailed, match="type function cannot be sent"):
            ask(lasting, answer_what_cannot_travel)
        assert ask(lasting, process_id) == child


class TestProgress:
    def test_lines_arrive_in_order(self, sandbox: Sandbox, told: list[str]) -> None:
        assert ask(sandbox, tell, "epoch 1", "epoch 2", "epoch 3") == 3
        assert told == ["epoch 1", "epoch 2", "epoch 3"]

    def test_outside_of_a_sandbox_nobody_listens(self) -> None:
        report("hello")

    def test_what_it_prints_goes_to_the_log(self, tmp_path: Path) -> None:
        log = tmp_path / "child.log"
        sandbox = Sandbox(log=log)
        try:
            ask(sandbox, speak, "good morning")
            with pytest.raises(BuildFailed):
                ask(sandbox, fail, KeyError, "lost")
        finally:
            sandbox.close()
        text = log.read_text()
        assert "good morning" in text
        assert "Traceback" in text
        assert "KeyError: 'lost'" in text

    def test_a_later_process_adds_to_the_log(self, tmp_path: Path) -> None:
        log = tmp_path / "child.log"
        for word in ("one", "two"):
            sandbox = Sandbox(log=log)
            ask(sandbox, speak, word)
            sandbox.close()
        assert log.read_text().split() == ["one", "two"]


class TestLimits:
    def test_time(self, sandbox: Sandbox) -> None:
        child = ask(sandbox, process_id)
        with pytest.raises(StageTimeout, match=r"training: took longer than 0\.2 s") as caught:
            ask(sandbox, time.sleep, FOREVER_S, limit_s=0.2)
        assert caught.value.hint == "raise limits.training_s"
        assert isinstance(child, int)
        assert _gone(child)
        assert ask(sandbox, add, 1, 1) == 2

    def test_waiting_for_quiet_does_not_count(self, sandbox: Sandbox) -> None:
        """Another job's measurement is not the candidate's fault."""
        assert ask(sandbox, wait_for_quiet, 1.5, limit_s=0.75) == "done"

    def test_time_after_a_wait_counts(self, sandbox: Sandbox) -> None:
        with pytest.raises(StageTimeout):
            ask(sandbox, wait_for_quiet, 0.1, FOREVER_S, limit_s=0.75)

    def test_telling_progress_buys_no_time(self, sandbox: Sandbox) -> None:
        with pytest.raises(StageTimeout):
            ask(sandbox, babble, limit_s=0.5)

    @pytest.mark.parametrize("function", [hold, have_held])
    def test_memory(self, function: Callable[[int], None]) -> None:
        sandbox = Sandbox(memory_bytes=200_000_000)
        try:
            child = ask(sandbox, process_id)
            with pytest.raises(OutOfMemory, match=r"training: used \d+ MB of 200 MB") as caught:
                ask(sandbox, function, 300_000_000)
            assert caught.value.hint == "raise limits.memory_bytes"
            assert isinstance(child, int)
            assert _gone(child)
            assert ask(sandbox, add, 1, 1) == 2
        finally:
            sandbox.close()


class TestDeaths:
    @pytest.mark.parametrize(
        ("how", "last"), [(exit_now, "exit code 3"), (segfault, "signal 11"), (be_killed, "signal 9")]
    )
    def test_three_are_the_candidates_own_fault(
        self, sandbox: Sandbox, tmp_path: Path, how: Callable[[], None], last: str
    ) -> None:
        calls = tmp_path / "calls"
        with pytest.raises(ProcessCrashed, match=f"training: its process died 3 times, last with {last}"):
            ask(sandbox, die, calls, 99, how)
        assert calls.read_text() == "xxx"
        assert ask(sandbox, add, 1, 1) == 2

    @pytest.mark.parametrize("times", [1, 2])
    def test_fewer_may_be_bad_luck(self, sandbox: Sandbox, tmp_path: Path, times: int) -> None:
        calls = tmp_path / "calls"
        assert ask(sandbox, die, calls, times, be_killed) == "alive"
        assert len(calls.read_text()) == times + 1

    def test_each_call_counts_its_own(self, sandbox: Sandbox, tmp_path: Path) -> None:
        for name in ("first", "second", "third"):
            assert ask(sandbox, die, tmp_path / name, 1, be_killed) == "alive"

    def test_one_that_dies_between_calls_is_started_again(self, sandbox: Sandbox) -> None:
        child = ask(sandbox, process_id)
        assert isinstance(child, int)
        os.kill(child, signal.SIGKILL)
        assert ask(sandbox, process_id) != child


class TestEnds:
    def test_nothing_is_started_before_the_first_call(self) -> None:
        before = psutil.Process().children(recursive=True)
        Sandbox().close()
        assert psutil.Process().children(recursive=True) == before

    def test_closing_ends_the_child(self, sandbox: Sandbox) -> None:
        child = ask(sandbox, process_id)
        sandbox.close()
        sandbox.close()
        assert isinstance(child, int)
        assert not psutil.pid_exists(child)
        assert ask(sandbox, add, 1, 1) == 2

    def test_an_interrupted_call_ends_the_child_and_what_it_started(self) -> None:
        """As by Ctrl-C; whoever calls next must not get the answer to this question."""
        helpers = []

        def interrupt(text: str) -> None:
            helpers.append(int(text))
            raise KeyboardInterrupt

        sandbox = Sandbox(progress=interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                ask(sandbox, start_helper_and_hang)
            assert len(helpers) == 1
            assert _gone(helpers[0])
            assert ask(sandbox, add, 1, 1) == 2
        finally:
            sandbox.close()

    def test_the_child_ends_with_its_owner(self) -> None:
        """Also when it is busy, and with all that it started."""
        program = (
            f"from {__name__} import Sandbox, process_id, start_helper_and_hang\n"
            "sandbox = Sandbox(progress=lambda text: print(text, flush=True))\n"
            "print(sandbox.call(process_id, stage='training', limit_s=60), flush=True)\n"
            "sandbox.call(start_helper_and_hang, stage='training', limit_s=600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            child, helper = int(owner.stdout.readline()), int(owner.stdout.readline())
            owner.kill()
        assert _gone(child)
        assert _gone(helper)
