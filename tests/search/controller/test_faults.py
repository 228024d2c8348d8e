"""Candidates that misbehave: each becomes a state with its reason, and the search goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty_measure
import faulty_task
import numpy as np
import pytest
import yaml
from command_line import document, error_lines, paretune
from inline_search import measuring_briefly, without_ray
from small_jobs import samples, spec, write_classifier

from dashboards.documents.front import front_document
from hwprofiles.errors import ParetuneError
from search.controller.controller import Controller
from search.controller.failures import IN_A_ROW, AllFailed
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import parse_job
from search.states import JobState, TrialState
from search.store import Store, TrialRow

BUILDERS = Path(faulty_task.__file__).parent
SIZE_MATTERS = [
    {"metric": "cosine", "direction": "max"},
    {"metric": "speedup", "direction": "max"},
    {"metric": "size_bytes", "direction": "min"},
]
# Asymmetric activations are given, so that the device is asked about one format only.
SPACE = {"precision": {"activations": "uint8"}}


def faulty(folder: Path, faults: list[str], **fields: Any) -> dict[str, Any]:
    """A job on this machine whose candidates meet the faults in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(faulty_task.__file__, folder / "faulty_task.py")
    options = {"faults": faults} | fields.pop("options", {})
    return spec(**{
        "task": {"name": "./faulty_task.py:make_task", "options": options}, "devices": ["local-cpu"],
        "objectives": SIZE_MATTERS, "space": SPACE, "strategy": {"name": "random"}, **fields,
    })  # fmt: skip


@pytest.fixture
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for no measurement of anyone else: time limits are short here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def run_here(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[TrialRow]]:
    """Runs a job without Ray and with short measurements; its sandboxes are real. Returns its trials."""
    without_ray(monkeypatch, prepare_here=True)
    measuring_briefly(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(BUILDERS), os.environ.get("PYTHONPATH", "")]))

    def run(job: dict[str, Any]) -> list[TrialRow]:
        job_id = submit(store, parse_job(job, folder=tmp_path), tmp_path)
        assert Controller(store, job_id).run() is JobState.DONE
        return store.trials.of_job(job_id)

    return run


LIMIT_S = 10
OUTCOMES = {
    "none": (TrialState.DONE, ""),
    "raises": (TrialState.BUILD_FAILED, "ValueError: this candidate is not to my taste"),
    "nan": (TrialState.BUILD_FAILED, "'wit' holds NaN or infinity"),
    "infinity": (TrialState.BUILD_FAILED, "'wit' holds NaN or infinity"),
    "text": (TrialState.BUILD_FAILED, "ValueError"),
    "nothing": (TrialState.BUILD_FAILED, "AttributeError"),
    "refuses": (TrialState.BUILD_FAILED, "this candidate is not for me"),
    "exits": (TrialState.BUILD_FAILED, "goodbye"),
    "hangs": (TrialState.TIMEOUT, f"measuring: took longer than {LIMIT_S} s"),
    "hoards": (TrialState.OUT_OF_MEMORY, "measuring: used"),
    "dies": (TrialState.CRASHED, "measuring: its process died 3 times, last with signal 9"),
    "segfaults": (TrialState.CRASHED, "measuring: its process died 3 times, last with signal 11"),
}


@pytest.mark.usefixtures("own_locks")
def test_each_fault_becomes_a_state_and_the_others_are_done(
    run_here: Callable[..., list[TrialRow]], store: Store, tmp_path: Path
) -> None:
    limits = {"measuring_s": LIMIT_S, "memory_bytes": 1_000_000_000}
    rows = run_here(faulty(tmp_path, list(OUTCOMES), limits=limits, budget={"trials": len(OUTCOMES) + 3}))
    good, bad = [row for row in rows if row.state.measured], [row for row in rows if not row.state.measured]
    faults = [(state, said) for state, said in OUTCOMES.values() if state is not TrialState.DONE]
    assert [row.state for row in bad] == [state for state, _ in faults]
    for row, (_, said) in zip(bad, faults, strict=True):
        assert said in (row.reason or "")
        assert "\n" not in (row.reason or "")
        assert row.metrics == {}
        assert store.trials.measurements(row.candidate_id) == []
    assert [row.state for row in good] == [TrialState.DONE] * 4
    assert all(row.metrics["wit"] == 1.0 for row in good)
    front = front_document(store, rows[0].job_id)
    assert {member["candidate_id"] for member in front["front"]} <= {row.candidate_id for row in good}
    assert front["front"]
    assert (front["trials"]["done"], front["trials"]["failed"]) == (4, len(faults))


@pytest.mark.usefixtures("own_locks")
def test_a_measuring_process_that_misbehaves_costs_that_candidate(
    run_here: Callable[..., list[TrialRow]], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.devices.device.measure_once", faulty_measure.measure)
    with pytest.raises(AllFailed, match=r"every candidate failed"):
        run_here(faulty(tmp_path, [], limits={"measuring_s": LIMIT_S}, budget={"trials": 5}))
    rows = store.trials.of_job(store.jobs.get("small").job_id)
    found = {next(iter(set(row.decisions.values()))): (row.state, row.reason) for row in rows}
    assert found["fp32"][0] is TrialState.DONE
    assert found["int8"] == (TrialState.UNSUPPORTED_OP, "no kernel for this")
    assert found["int8_dynamic"][0] is TrialState.CRASHED
    assert found["int8_weight"][0] is TrialState.TIMEOUT
    assert found["int4_weight"] == (TrialState.PENDING, "the interval is still wide"), "that is the machine's fault"


def test_one_whose_memory_cannot_be_measured_leaves_the_front(
    run_here: Callable[..., list[TrialRow]], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peak memory is taken at the end, of the front's members alone."""
    measuring_briefly(monkeypatch)
    monkeypatch.setattr("evaluators.devices.device.measure_peak_memory", faulty_measure.peak_memory)
    rows = run_here(faulty(tmp_path, [], space={"precision": {"choices": ["fp32", "int8"]}}, budget={"trials": 2}))
    assert [row.state for row in rows] == [TrialState.DONE, TrialState.CRASHED]
    assert [member["trial"] for member in front_document(store, rows[0].job_id)["front"]] == [0]


def test_when_all_fail_the_job_has_failed_and_says_why(
    run_here: Callable[..., list[TrialRow]], store: Store, tmp_path: Path
) -> None:
    said = r"every candidate failed \(2\): 2 x build_failed: ValueError: this candidate is not to my taste"
    with pytest.raises(AllFailed, match=said) as caught:
        run_here(faulty(tmp_path, ["raises"], options={"innocent_pid": os.getpid()}, budget={"trials": 3}))
    assert caught.value.exit_code == 4
    job = store.jobs.get("small")
    assert (job.state, job.error, job.hint) == (JobState.FAILED, caught.value.message, caught.value.hint)
    assert [row.state for row in store.trials.of_job(job.job_id)] == [TrialState.BUILD_FAILED] * 3
    front = front_document(store, job.job_id)
    assert (front["state"], front["front"], front["nearest_miss"]) == ("failed", [], None)
    assert front["baseline"]["metrics"]["wit"] == 1.0


def test_a_search_in_which_nothing_works_ends_early(
    run_here: Callable[..., list[TrialRow]], store: Store, tmp_path: Path
) -> None:
    """Here five candidates fail in the same way before any works; thirty are not waited for."""
    with pytest.raises(AllFailed, match=r"every candidate failed \(5\): 5 x build_failed"):
        run_here(faulty(tmp_path, ["raises"], options={"innocent_pid": os.getpid()}, budget={"trials": 30}))
    finished = [row for row in store.trials.of_job(store.jobs.get("small").job_id) if row.state.finished]
    assert len(finished) == 1 + IN_A_ROW


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def finished(folder: Path) -> Any:
    """The same with Ray, and measurements as the product makes them."""
    space = {"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
    job = faulty(folder, ["raises", "nan"], space=space, budget={"trials": 4})
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return paretune("run", "job.yaml", "--format", "json", home=folder / "home", cwd=folder, PYTHONPATH=path())


@pytest.mark.alone
class TestThroughTheCommandLine:
    def test_the_job_is_done(self, finished: Any) -> None:
        front = document(finished)
        assert front["state"] == "done"
        assert (front["trials"]["done"], front["trials"]["failed"]) == (2, 2)
        assert front["simulated"] is False
        for member in front["front"]:
            assert member["metrics"]["latency_ms"]["p50"] > 0
            low, high = member["metrics"]["speedup"]["ci95"]
            assert low <= member["metrics"]["speedup"]["ratio"] <= high
            assert member["metrics"]["peak_memory_bytes"] > 0

    def test_what_the_task_prints_is_not_in_the_way(self, finished: Any) -> None:
        assert "nobody asked for" not in finished.stdout + finished.stderr

    def test_the_failures_are_listed(self, finished: Any, folder: Path) -> None:
        with Store(f"sqlite:///{folder}/home/paretune.db") as store:
            rows = store.trials.of_job(document(finished)["job_id"])
        failed = [row for row in rows if not row.state.measured]
        assert [row.state for row in failed] == [TrialState.BUILD_FAILED] * 2
        shown = document(paretune("show", failed[0].candidate_id, "--format", "json", home=folder / "home"))
        assert (shown["state"], shown["reason"]) == ("build_failed", OUTCOMES["raises"][1])

    def test_a_failed_candidate_cannot_be_exported(self, finished: Any, folder: Path) -> None:
        with Store(f"sqlite:///{folder}/home/paretune.db") as store:
            failed = next(row for row in store.trials.of_job(document(finished)["job_id"]) if not row.state.measured)
        refused = paretune("export", failed.candidate_id, "-o", "out", home=folder / "home")
        assert refused.returncode == 2
        message, hint = error_lines(refused)
        assert "build_failed and cannot be exported" in message
        assert "paretune front" in hint
        assert not (folder / "out").exists()


def path() -> str:
    return os.pathsep.join([str(BUILDERS.parents[1]), str(BUILDERS)])


class TestBeforeTheSearch:
    """A job that cannot be prepared fails, and says why."""

    def fails(self, store: Store, folder: Path, job: dict[str, Any]) -> ParetuneError:
        job_id = submit(store, parse_job(job, folder=folder), folder)
        with pytest.raises(ParetuneError) as caught:
            Controller(store, job_id).run()
        row = store.jobs.get(job_id)
        assert (row.state, row.error, row.hint) == (JobState.FAILED, caught.value.message, caught.value.hint)
        assert store.trials.of_job(job_id) == []
        return caught.value

    @pytest.fixture
    def broken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
        """A job whose task does something in ``export``."""
        monkeypatch.setenv("PYTHONPATH", path())

        def write(does: str) -> dict[str, Any]:
            text = Path(faulty_task.__file__).read_text()
            (tmp_path / "faulty_task.py").write_text(text.replace("path.write_bytes(", f"{does}; path.write_bytes("))
            return spec(task={"name": "./faulty_task.py:make_task", "options": {"faults": []}})

        return write

    def test_an_export_that_raises(self, store: Store, tmp_path: Path, broken: Callable[[str], dict[str, Any]]) -> None:
        error = self.fails(store, tmp_path, broken("raise OSError('no weights')"))
        assert error.message == "the job cannot be prepared: OSError: no weights"
        assert "prepare.log" in error.hint
        assert "OSError" in Path(error.hint.removeprefix("see ")).read_text()

    def test_an_export_that_dies(self, store: Store, tmp_path: Path, broken: Callable[[str], dict[str, Any]]) -> None:
        assert "died 3 times" in self.fails(store, tmp_path, broken("_dies()")).message

    def test_an_export_that_hangs(self, store: Store, tmp_path: Path, broken: Callable[[str], dict[str, Any]]) -> None:
        error = self.fails(store, tmp_path, broken("_hangs()") | {"limits": {"training_s": 3, "exporting_s": 1}})
        assert "took longer than 4 s" in error.message
        assert error.hint == "raise limits.training_s"

    def test_an_export_that_hoards_memory(
        self, store: Store, tmp_path: Path, broken: Callable[[str], dict[str, Any]]
    ) -> None:
        error = self.fails(store, tmp_path, broken("_hoards()") | {"limits": {"memory_bytes": 1_000_000_000}})
        assert "of 1000 MB" in error.message
        assert error.hint == "raise limits.memory_bytes"

    def test_a_model_that_is_not_onnx(
        self, store: Store, tmp_path: Path, broken: Callable[[str], dict[str, Any]]
    ) -> None:
        error = self.fails(store, tmp_path, broken("path.write_text('junk'); return"))
        assert "not an ONNX model" in error.message
        assert error.exit_code == 2


def vanish(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def draw_at_random(path: Path) -> None:
    """As a task does that draws its data without a seed: they are others in each process."""
    np.savez(path, **samples(48, seed=1))


@pytest.mark.parametrize(
    ("change", "said"),
    [(vanish, r"samples\.npz does not exist"), (draw_at_random, "gives another model or other data")],
)
def test_a_task_that_changes_its_mind_during_the_job(
    change: Callable[[Path], None],
    said: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_here: Callable[..., list[TrialRow]],
) -> None:
    """No candidate is to blame: the job stops after a few and says why, and goes on once that is mended."""
    write_classifier(tmp_path)
    whole = (tmp_path / "samples.npz").read_bytes()
    job = spec(devices=["local-cpu"], objectives=SIZE_MATTERS, space=SPACE, budget={"trials": 5})

    with Store(default_database()) as vandal:
        add = vandal.trials.add

        def add_to_other_files(*arguments: Any) -> list[TrialRow]:
            change(tmp_path / "samples.npz")
            return add(*arguments)

        monkeypatch.setattr(vandal.trials, "add", add_to_other_files)
        job_id = submit(vandal, parse_job(job, folder=tmp_path), tmp_path)
        with pytest.raises(ParetuneError, match=f"3 candidates in a row could not be judged, .*{said}") as caught:
            Controller(vandal, job_id).run()
    assert f"paretune resume {job_id}" in caught.value.hint
    assert (store.jobs.get(job_id).state, store.jobs.get(job_id).error) == (JobState.FAILED, caught.value.message)
    assert {row.state for row in store.trials.of_job(job_id)} == {TrialState.PENDING}
    (tmp_path / "samples.npz").write_bytes(whole)
    assert Controller(store, job_id).run() is JobState.DONE
    assert {row.state for row in store.trials.of_job(job_id)} <= {TrialState.DONE, TrialState.INFEASIBLE}
    assert front_document(store, job_id)["front"]
