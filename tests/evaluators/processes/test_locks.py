"""Locks between processes, with real processes that hold them and die with them."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.processes import sandbox_child
from evaluators.processes.locks import exclusive_device, lock_folder, measuring, pause_point, working
from hwprofiles import find_device
from hwprofiles.errors import StorageError

PATIENCE_S = 60.0
A_MOMENT_S = 0.1

WORKING = "locks.working()"
MEASURING = "locks.measuring()"


def device(*cores: int, name: str = "bench") -> str:
    return f"locks.exclusive_device(replace(find_device('dry-run'), device={name!r}, cores={cores!r}))"


class Holder:
    """A process that says when it has a lock and holds it until it is told to go."""

    def __init__(self, lock: str) -> None:
        program = (
            "import sys\nfrom dataclasses import replace\n"
            "from evaluators.processes import locks\nfrom hwprofiles import find_device\n"
            f"print('asking', flush=True)\nwith {lock}:\n    print('in', flush=True)\n    sys.stdin.readline()\n"
            "print('out', flush=True)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.expect("asking")

    def said(self, wait_s: float) -> str | None:
        """The next line, None if there is none in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], wait_s)
        return self.process.stdout.readline().decode().strip() if ready else None

    def expect(self, line: str) -> None:
        assert self.said(PATIENCE_S) == line

    @property
    def waits(self) -> bool:
        return self.said(A_MOMENT_S) is None

    def let_go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.expect("out")

    def end(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait()


Hold = Callable[[str], Holder]


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks of the test's own: a measurement that runs on this machine is none of its business."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return lock_folder()


@pytest.fixture
def hold(locks: Path) -> Iterator[Hold]:
    holders: list[Holder] = []

    def start(lock: str) -> Holder:
        holders.append(Holder(lock))
        return holders[-1]

    yield start
    for holder in holders:
        holder.end()


def _until_taken(lock: Path) -> None:
    """Waits until another process holds a lock for itself alone."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        time.sleep(0.01)
    raise AssertionError(f"nobody took {lock}")


class TestQuiet:
    @pytest.mark.parametrize(("first", "second"), [(MEASURING, WORKING), (WORKING, MEASURING), (MEASURING, MEASURING)])
    def test_one_waits_for_the_other(self, hold: Hold, first: str, second: str) -> None:
        early = hold(first)
        early.expect("in")
        late = hold(second)
        assert late.waits
        early.let_go()
        late.expect("in")

    def test_workers_do_not_wait_for_each_other(self, hold: Hold) -> None:
        for _ in range(2):
            hold(WORKING).expect("in")

    def test_a_measurement_that_waits_goes_before_new_work(self, hold: Hold, locks: Path) -> None:
        """Else work that overlaps would keep it waiting for ever."""
        worker = hold(WORKING)
        worker.expect("in")
        measurement = hold(MEASURING)
        _until_taken(locks / "turnstile.lock")
        newcomer = hold(WORKING)
        assert newcomer.waits
        worker.let_go()
        measurement.expect("in")
        assert newcomer.waits
        measurement.let_go()
        newcomer.expect("in")

    def test_a_pause_point_waits(self, hold: Hold) -> None:
        measurement = hold(MEASURING)
        measurement.expect("in")
        passed = threading.Event()
        thread = threading.Thread(target=lambda: (pause_point(), passed.set()))
        thread.start()
        assert not passed.wait(A_MOMENT_S)
        measurement.let_go()
        thread.join(PATIENCE_S)
        assert passed.is_set()

    @pytest.mark.parametrize("lock", [MEASURING, "device", "board"])
    def test_waiting_for_another_s_lock_is_told(self, hold: Hold, monkeypatch: pytest.MonkeyPatch, lock: str) -> None:
        """Else it would count against the limit of whoever waits."""
        told: list[bool] = []
        waits = threading.Event()
        monkeypatch.setattr(sandbox_child, "_pause", lambda begins: (told.append(begins), waits.set()))
        profile = replace(find_device("dry-run"), cores=() if lock == "board" else (0, 1), device="board")
        early = hold(MEASURING if lock == MEASURING else device(*profile.cores, name="board"))
        early.expect("in")

        def take() -> None:
            with measuring() if lock == MEASURING else exclusive_device(profile):
                pass

        thread = threading.Thread(target=take)
        thread.start()
        assert waits.wait(PATIENCE_S)
        assert told == [True]
        early.let_go()
        thread.join(PATIENCE_S)
        assert told == [True, False]
        take()
        assert len(told) == 2

    def test_without_a_measurement_nothing_pauses(self) -> None:
        for _ in range(100):
            pause_point()

    @pytest.mark.parametrize("lock", [working, measuring])
    def test_an_error_inside_frees_it(self, hold: Hold, lock: Callable[[], AbstractContextManager[None]]) -> None:
        with pytest.raises(RuntimeError), lock():
            raise RuntimeError
        hold(MEASURING).expect("in")


class TestDevices:
    @pytest.mark.parametrize(("held", "wanted"), [((0, 1), (0, 1)), ((0, 1), (1, 2)), ((1, 2), (0, 1)), ((3, 1), (1,))])
    def test_sets_of_cores_that_overlap(self, hold: Hold, held: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        early = hold(device(*held))
        early.expect("in")
        late = hold(device(*wanted, name="another name of this machine"))
        assert late.waits
        early.let_go()
        late.expect("in")

    def test_sets_of_cores_apart(self, hold: Hold) -> None:
        for cores in ((0, 1), (2, 3), (4,)):
            hold(device(*cores)).expect("in")

    def test_one_that_waits_keeps_no_core_from_others_for_good(self, hold: Hold) -> None:
        middle = hold(device(1, 2))
        middle.expect("in")
        both = hold(device(0, 1))
        assert both.waits
        middle.let_go()
        both.expect("in")
        both.let_go()
        hold(device(0, 1, 2)).expect("in")

    def test_without_cores_a_device_is_its_name(self, hold: Hold) -> None:
        early = hold(device(name="board"))
        early.expect("in")
        hold(device(name="other board")).expect("in")
        late = hold(device(name="board"))
        assert late.waits
        early.let_go()
        late.expect("in")

    def test_the_order_in_which_cores_are_listed_makes_no_deadlock(self, locks: Path) -> None:
        profile = find_device("dry-run")
        rounds: list[int] = []

        def take(cores: tuple[int, ...]) -> None:
            for number in range(200):
                with exclusive_device(replace(profile, cores=cores)):
                    rounds.append(number)

        threads = [
            threading.Thread(target=take, args=(cores,), daemon=True) for cores in ((0, 1, 2), (2, 1, 0), (1, 2))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(rounds) == 600


class TestDeaths:
    @pytest.mark.parametrize("lock", [MEASURING, WORKING, device(0, 1), device(name="board")])
    def test_a_killed_process_holds_nothing(self, hold: Hold, lock: str) -> None:
        victim = hold(lock)
        victim.expect("in")
        heir = hold(MEASURING if lock == WORKING else lock)
        assert heir.waits
        victim.process.kill()
        heir.expect("in")

    def test_a_measurement_killed_while_it_waits_lets_work_go_on(self, hold: Hold, locks: Path) -> None:
        worker = hold(WORKING)
        worker.expect("in")
        measurement = hold(MEASURING)
        _until_taken(locks / "turnstile.lock")
        newcomer = hold(WORKING)
        assert newcomer.waits
        measurement.process.kill()
        newcomer.expect("in")


def test_the_locks_are_the_users_own(tmp_path: Path, locks: Path) -> None:
    assert locks.parent == tmp_path
    assert stat.S_IMODE(locks.stat().st_mode) == 0o700
    assert lock_folder() == locks


class TestOthersOnThisMachine:
    """Anybody may make the folder first: its name is no secret."""

    def test_a_link_in_a_locks_place_is_refused_and_nothing_lost(self, locks: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("what nobody wants to lose")
        (locks / "quiet.lock").symlink_to(precious)
        with pytest.raises(StorageError, match="cannot be opened"), working():
            pass
        (locks / "core-0.lock").symlink_to(precious)
        with (
            pytest.raises(StorageError, match="cannot be opened"),
            exclusive_device(replace(find_device("dry-run"), cores=(0,))),
        ):
            pass
        assert precious.read_text() == "what nobody wants to lose"

    def test_a_locks_content_stays(self, locks: Path) -> None:
        (locks / "quiet.lock").write_text("kept")
        with measuring():
            pass
        assert (locks / "quiet.lock").read_text() == "kept"

    def test_locks_are_for_their_user_alone(self, locks: Path) -> None:
        with working():
            modes = {stat.S_IMODE(path.stat().st_mode) for path in locks.iterdir()}
        assert modes == {0o600}

    def test_a_folder_of_somebody_else_is_refused(self, locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = os.getuid()
        locks.rename(locks.with_name(f"paretune-{own + 1}"))
        monkeypatch.setattr("evaluators.processes.locks.os.getuid", lambda: own + 1)
        with pytest.raises(StorageError, match="not a folder that only you can write to") as caught:
            lock_folder()
        assert "TMPDIR" in caught.value.hint

    def test_a_folder_that_others_can_write_to_is_refused(self, locks: Path) -> None:
        locks.chmod(0o777)
        with pytest.raises(StorageError, match="not a folder that only you can write to"):
            lock_folder()

    def test_a_link_in_the_folders_place_is_refused(self, locks: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        locks.rmdir()
        locks.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="not a folder that only you can write to"):
            lock_folder()

    def test_a_file_in_the_folders_place(self, locks: Path) -> None:
        locks.rmdir()
        locks.write_text("")
        with pytest.raises(StorageError):
            lock_folder()

    def test_a_folder_that_others_can_read_is_closed_to_them(self, locks: Path) -> None:
        locks.chmod(0o755)
        assert stat.S_IMODE(lock_folder().stat().st_mode) == 0o700
