"""Under a quota: the cores that others leave idle, the same ones whenever they are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recorded_machines import big_and_little, core, processor_times, write_tree

from hwprofiles import idle_cores, probe
from hwprofiles.folders import data_folder
from hwprofiles.idle_cores import choose_cores, measure_idlest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(idle_cores, "_chosen", {})
    monkeypatch.setattr(idle_cores, "LOOK_S", 0.0)
    return tmp_path / "home"


def machine(root: Path, cores: int = 4) -> Path:
    return write_tree(root, {"proc/stat": processor_times(dict.fromkeys(range(cores), 500))})


def idlest_after(root: Path, busy: dict[int, int], count: int, cores: int = 4) -> tuple[int, ...]:
    """What is chosen where the cores were busy for so many ticks meanwhile."""

    def passes(seconds: float) -> None:
        times = {core: 500 + busy.get(core, 0) for core in range(cores)}
        write_tree(root, {"proc/stat": processor_times(times)})

    return measure_idlest(tuple(range(cores)), count, root, passes)


class TestIdlest:
    def test_others_cores_are_left_to_them(self, tmp_path: Path) -> None:
        assert idlest_after(machine(tmp_path / "m"), {0: 5, 1: 0, 2: 50, 3: 50}, 1) == (1,)
        assert idlest_after(machine(tmp_path / "n"), {0: 5, 1: 0, 2: 50, 3: 50}, 2) == (0, 1)

    def test_the_last_ones_of_those_that_are_equally_idle(self, tmp_path: Path) -> None:
        assert idlest_after(machine(tmp_path / "m"), {}, 2) == (2, 3)

    def test_a_busy_sibling_counts(self, tmp_path: Path) -> None:
        files = {name: text for n in range(4) for name, text in core(n, f"{n % 2},{n % 2 + 2}", 0, {}).items()}
        root = write_tree(machine(tmp_path / "m"), files)
        assert idlest_after(root, {1: 50}, 1) == (2,)
        assert idlest_after(root, {1: 50}, 2) == (2, 3)  # of two physical cores rather than two threads of one

    def test_the_fast_ones_rather_than_idle_slow_ones(self, tmp_path: Path) -> None:
        root = write_tree(machine(tmp_path / "m", 6), big_and_little())
        assert idlest_after(root, {4: 3, 5: 9}, 1, cores=6) == (4,)

    def test_a_machine_that_counts_nothing(self, tmp_path: Path) -> None:
        assert measure_idlest((0, 1, 2), 1, tmp_path) == (2,)
        zeros = write_tree(tmp_path / "zeros", {"proc/stat": processor_times(dict.fromkeys(range(3), 0), idle=0)})
        assert measure_idlest((0, 1, 2), 1, zeros) == (2,)


class TestChoice:
    def test_it_stays_when_others_move(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter([(1,), (3,)])
        monkeypatch.setattr(idle_cores, "measure_idlest", lambda *_: next(answers))
        assert choose_cores((0, 1, 2, 3), 1, tmp_path) == (1,)
        assert choose_cores((0, 1, 2, 3), 1, tmp_path) == (1,)
        monkeypatch.setattr(idle_cores, "_chosen", {})  # as in another process
        assert choose_cores((0, 1, 2, 3), 1, tmp_path) == (1,)
        assert choose_cores((0, 1, 2), 1, tmp_path) == (3,)

    @pytest.mark.parametrize("nonsense", ["[]", "[7]", "{", '"no"', '[["a"]]', "[0, 1]"])
    def test_a_file_that_says_nonsense(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nonsense: str) -> None:
        choose_cores((0, 1), 1, tmp_path)
        (file,) = data_folder().glob("cores-*.json")
        file.write_text(nonsense)
        monkeypatch.setattr(idle_cores, "_chosen", {})
        assert choose_cores((0, 1), 1, tmp_path) == (1,)
        assert file.read_text() == "[1]"

    def test_the_first_of_two_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def late(cores: tuple[int, ...], count: int, root: Path) -> tuple[int, ...]:
            """Another process has chosen meanwhile."""
            monkeypatch.setattr(idle_cores, "measure_idlest", lambda *_: (0,))
            monkeypatch.setattr(idle_cores, "_chosen", {})
            choose_cores(cores, count, root)
            return (1,)

        monkeypatch.setattr(idle_cores, "measure_idlest", late)
        assert choose_cores((0, 1), 1, tmp_path) == (0,)

    def test_a_home_that_cannot_be_made(self, tmp_path: Path, home: Path) -> None:
        home.write_text("")
        assert choose_cores((0, 1), 1, tmp_path) == (1,)

    def test_a_quota_of_one_core_is_not_core_0(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
        write_tree(machine(tmp_path / "m"), {"sys/fs/cgroup/cpu.max": "100000 100000\n"})
        assert probe.usable_cores(tmp_path / "m") == (3,)
