from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from inline_search import without_ray
from small_jobs import spec, write_classifier

from dashboards.cli.fields import candidate_fields
from dashboards.cli.front_table import print_front
from dashboards.documents.candidates import candidate_document, without_samples
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.documents.trials import trials_document
from dashboards.service.local import LocalService
from dashboards.web import rendering
from dashboards.words.metrics import metric_names
from hwprofiles.errors import NotFound
from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import job_folder
from search.job.spec import parse_job
from search.outcome import TrialOutcome
from search.states import JobState, TrialState
from search.store import Store
from search.trials.activity import Notice


def test_a_front_joins_its_members_with_their_figures(store: Store, search: Any) -> None:
    front = front_document(store, search.job_id)
    assert [member["trial"] for member in front["front"]] == [0, 4, 8]
    member = front["front"][2]
    assert member["candidate_id"] == search.ids[8]
    assert member["decisions"]["block2.conv1"] == "int8"
    assert member["summary"] == "1 of 7 layers int8"
    assert member["metrics"]["speedup"]["ratio"] > 1
    assert (member["state"], member["strategy"], member["simulated"]) == ("done", "nsga2", True)
    assert front["baseline"]["metrics"]["latency_ms"]["p50"] == 7.1
    assert front["hypervolume"] == {"value": 0.21, "reference": {"cosine": 0.9, "speedup": 1.0}}
    assert front["trials"] == {"done": 12, "failed": 1, "infeasible": 0, "running": 0, "pending": 0}
    assert (front["device"], front["simulated"], front["wall_s"]) == ("dry-run", True, 26.0)
    assert front["constraints"] == ["cosine >= 0.9"]


def test_contenders_are_listed_beside_the_front_and_tied_both_ways(store: Store, search: Any) -> None:
    front = front_document(store, search.job_id)
    assert [row["trial"] for row in front["contenders"]] == [9]
    assert front["contenders"][0]["tied_with"] == [search.ids[8]]
    assert front["front"][2]["tied_with"] == [search.ids[9]]
    assert front["front"][0]["tied_with"] == []


def test_the_newest_version_of_a_front_counts(store: Store, search: Any) -> None:
    search.store_front([0], final=True)
    front = front_document(store, search.job_id)
    assert [member["trial"] for member in front["front"]] == [0]
    assert front["contenders"] == []
    assert front["final"]


def test_a_job_that_just_began_has_an_empty_front_and_its_objectives(
    store: Store, make_search: Callable[..., Any]
) -> None:
    front = front_document(store, make_search().job_id)
    assert front["front"] == []
    assert front["nearest_miss"] is None
    assert [objective["metric"] for objective in front["objectives"]] == ["cosine", "speedup"]
    assert front["hypervolume"] == {"value": 0.0, "reference": {}}


def test_a_queued_job_has_documents_too(store: Store, search: Any) -> None:
    row = store.jobs.get(search.job_id)
    job_id = store.jobs.create(
        name="next", spec=row.spec, spec_folder=".", profile=store.devices.profile(row.profile_digest)
    )
    assert front_document(store, job_id)["baseline"] == {"metrics": {}, "facts": {}}
    assert trials_document(store, job_id)["baseline"] is None
    assert job_document(store, job_id)["state"] == "queued"


def test_the_nearest_miss_is_described(store: Store, search: Any) -> None:
    front = {
        "objectives": [{"metric": "cosine", "direction": "max"}],
        "hypervolume": {"value": 0.0, "reference": {"cosine": 0.9}},
        "members": [],
        "tied_with": {},
        "nearest_miss": {"candidate_id": search.ids[3], "reason": "cosine >= 0.999"},
        "final": True,
    }
    store.fronts.add(search.lease, front)
    miss = front_document(store, search.job_id)["nearest_miss"]
    assert (miss["trial"], miss["reason"], miss["decisions"]["head"]) == (3, "cosine >= 0.999", "int8")


def test_another_device_is_not_found(store: Store, search: Any) -> None:
    assert front_document(store, search.job_id, "dry-run")["device"] == "dry-run"
    with pytest.raises(NotFound) as caught:
        front_document(store, search.job_id, "phone")
    assert "'phone'" in caught.value.message
    assert "'dry-run'" in caught.value.hint


def test_an_unknown_job_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        front_document(store, "ffff")


def test_prefixes_and_names_are_accepted(store: Store, search: Any) -> None:
    assert front_document(store, search.job_id[:5])["job_id"] == search.job_id
    assert job_document(store, "digits-here")["job_id"] == search.job_id
    assert candidate_document(store, search.ids[2][:9])["candidate_id"] == search.ids[2]


def test_trials_are_the_points_of_a_scatter(store: Store, search: Any) -> None:
    document = trials_document(store, search.job_id)
    rows = document["trials"]
    assert [row["trial"] for row in rows] == list(range(13))
    assert [row["trial"] for row in rows if row["on_front"]] == [0, 4, 8]
    assert [row["trial"] for row in rows if row["tied_with"] and not row["on_front"]] == [9]
    assert rows[4]["values"]["speedup"] == store.trials.of_job(search.job_id)[4].metrics["speedup"]["ratio"]
    assert rows[4]["intervals"] == {"speedup": store.trials.of_job(search.job_id)[4].metrics["speedup"]["ci95"]}
    assert rows[12]["state"] == "unsupported_op"
    assert rows[12]["values"] == {"cosine": None, "speedup": None}
    assert "not supported" in rows[12]["reason"]
    assert document["baseline"]["values"] == {"cosine": 1.0, "speedup": 1.0}


def test_the_status_says_how_far_a_job_is(store: Store, search: Any) -> None:
    status = job_document(store, search.job_id)
    progress = {"finished": 13, "planned": 60, "fraction": 13 / 60, "time_left_s": 94.0, "left_s": None}
    assert status["progress"] == progress | {"at_work": [], "phase": None, "message": None}
    assert (status["front_size"], status["strategy"], status["task"]) == (3, "nsga2", "digits")
    assert status["best_speedup"] == max(
        m["metrics"]["speedup"]["ratio"] for m in front_document(store, search.job_id)["front"]
    )
    store.jobs.set_state(search.lease, JobState.FAILED, error="the disk is full", hint="free some space")
    status = job_document(store, search.job_id)
    assert (status["error"], status["hint"]) == ("the disk is full", "free some space")
    assert status["progress"]["time_left_s"] is None


def test_what_is_going_on_is_in_the_status_and_on_the_page(store: Store, search: Any, address: str, home: Path) -> None:
    trial = store.trials.of_job(search.job_id)[12]
    page = f"{address}/jobs/{search.job_id}"
    with Notice(job_folder(search.job_id), trial.digest) as notice:
        notice.say("training: step 36 of 216")
        (found,) = job_document(store, search.job_id)["progress"]["at_work"]
        assert found == {"trial": 12, "candidate_id": trial.candidate_id, "doing": "training: step 36 of 216"}
        assert "training: step 36 of 216" in httpx.get(page).text
        store.jobs.set_state(search.lease, JobState.INTERRUPTED)
        assert job_document(store, search.job_id)["progress"]["at_work"] == []
    assert "training: step" not in httpx.get(page).text


def test_the_status_says_how_the_machine_was_under_the_fp32_model(store: Store, search: Any, address: str) -> None:
    assert job_document(store, search.job_id)["baseline_health"] is None
    row = store.jobs.get(search.job_id)
    assert row.baseline is not None
    assert row.space is not None
    facts = {"baseline_measurements": {row.device: {"health": {"verdict": "contended"}}}}
    store.jobs.set_preparation(search.lease, space=row.space, baseline={**row.baseline, "facts": facts})
    assert job_document(store, search.job_id)["baseline_health"] == "contended"
    assert "<dt>Machine during baseline</dt><dd>contended</dd>" in httpx.get(f"{address}/jobs/{search.job_id}").text


@pytest.mark.parametrize("name", [None, "onnxruntime"])
def test_a_candidate_says_what_stood_in_for_its_runtime(store: Store, search: Any, name: str | None) -> None:
    (row,) = store.trials.add(
        search.lease,
        1,
        "nsga2",
        False,
        [(99, search.space.candidate(search.space.baseline().decisions | {"width": "half"}))],
    )
    metrics = {"cosine": 1.0} if name is None else {"cosine": 1.0, "quality_runtime": name}
    store.trials.finish(search.lease, row.candidate_id, TrialOutcome(TrialState.DONE, metrics=metrics, wall_s=0.5))
    assert candidate_document(store, row.candidate_id)["quality_runtime"] == name


def test_a_front_says_whose_outputs_quality_is_of(
    store: Store, search: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    front = front_document(store, search.job_id)
    for member in front["front"]:
        marks = {"quality_from": "host", "quality_check": "same outputs"}
        before = metric_names(member["metrics"])
        member["metrics"] |= marks
        assert metric_names(member["metrics"]) == before
    front["front"][1]["metrics"] |= {"quality_from": "agent", "quality_check": "differs: by 30 %"}
    print_front(front)
    text = capsys.readouterr().out
    assert f"{search.ids[0]}, {search.ids[8]}: quality: of the outputs on this machine (same outputs)" in text
    assert f"{search.ids[4]}: quality: of the device's own outputs (differs: by 30 %)" in text


def test_a_job_that_is_done_is_wholly_done(store: Store, search: Any) -> None:
    search.end()
    assert job_document(store, search.job_id)["progress"]["fraction"] == 1.0


def test_jobs_are_listed_newest_first(store: Store, make_search: Callable[..., Any]) -> None:
    ids = [make_search(f"job-{i}").job_id for i in range(3)]
    jobs = LocalService(store).jobs()["jobs"]
    assert [job["job_id"] for job in jobs] == ids[::-1]
    assert {"name", "state", "device", "created_at", "trials"} <= set(jobs[0])
    assert jobs[0]["created_at"].endswith("+00:00")


def test_an_empty_store_lists_no_jobs(store: Store) -> None:
    assert LocalService(store).jobs() == {"jobs": [], "next": None}


def test_a_candidate_is_shown_without_raw_samples(store: Store, search: Any) -> None:
    store.exports.add(search.ids[4], "out", "confirmed", {"speedup": 1.5})
    document = candidate_document(store, search.ids[4])
    assert document["on_front"]
    assert document["job_id"] == search.job_id
    (measurement,) = document["measurements"]
    assert measurement["record"]["samples"] == {"samples": 64}
    assert measurement["record"]["health"] == {"verdict": "ok"}
    (export,) = document["exports"]
    assert (export["folder"], export["verdict"]) == ("out", "confirmed")


def test_every_document_is_strict_json(store: Store, search: Any) -> None:
    documents = [
        front_document(store, search.job_id),
        trials_document(store, search.job_id),
        job_document(store, search.job_id),
        LocalService(store).jobs(),
        candidate_document(store, search.ids[0]),
    ]
    for document in documents:
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_only_long_lists_of_numbers_are_samples() -> None:
    record = {"ci95": [1.0, 2.0], "nodes": ["a"] * 40, "blocks": [[1.0, 2.0]] * 40, "deep": [{"raw": [1] * 17}]}
    assert without_samples(record) == {
        "ci95": [1.0, 2.0],
        "nodes": ["a"] * 40,
        "blocks": {"samples": 40},
        "deep": [{"raw": {"samples": 17}}],
    }


def test_what_the_space_holds_is_in_every_document_and_on_the_page(store: Store, search: Any, address: str) -> None:
    page = f"{address}/jobs/{search.job_id}"
    assert job_document(store, search.job_id)["coverage"] is None
    row = store.jobs.get(search.job_id)
    assert row.baseline is not None
    assert row.space is not None
    hostile = "<script>alert(2)</script>"
    found = {
        "layers": 9,
        "decided": 7,
        "decisions": 7,
        "left_alone": [{"layer": hostile, "operator": "MatMul", "why": "product of two activations"}] * 2,
        "left_out": [
            {"precision": "int4_weight", "ratio": 0.71, "ci95": [0.69, 0.73], "why": "slower than fp32 on this device"},
            {"precision": "int8", "runtime": "openvino", "ratio": None, "ci95": None, "why": "build_failed: no kernel"},
        ],
    }
    store.jobs.set_preparation(search.lease, space=row.space, baseline={**row.baseline, "facts": {"coverage": found}})
    for document in (job_document(store, search.job_id), front_document(store, search.job_id)):
        assert document["coverage"] == found
    assert "coverage" not in front_document(store, search.job_id)["baseline"]["facts"]
    text = httpx.get(page).text
    assert "7 of 9 layers" in text
    assert "product of two activations" in text
    assert "build_failed: no kernel" in text
    assert hostile not in text
    assert "to ask the device first" not in text, "as jobs of earlier versions have it"


def test_the_page_says_what_was_not_asked_and_where_the_time_went(store: Store, search: Any, address: str) -> None:
    row = store.jobs.get(search.job_id)
    assert row.baseline is not None
    assert row.space is not None
    coverage = {"layers": 1, "decided": 1, "decisions": 1, "left_alone": [], "left_out": []}
    facts = {
        "coverage": coverage | {"unanswered": [{"precision": "int8", "runtime": "openvino"}]},
        "ending": {"reason": "time", "text": "no time"},
        "time_s": {"preparing": 25.0, "searching": 42.0},
    }
    store.jobs.set_preparation(search.lease, space=row.space, baseline={**row.baseline, "facts": facts})
    text = httpx.get(f"{address}/jobs/{search.job_id}").text
    assert "to ask the device first about: int8 in openvino." in text
    assert "Time: preparing 25 s, searching 42 s." in text


def test_the_page_gives_no_interval_to_what_was_not_measured() -> None:
    """The unchanged model has the baseline's figures and the speed-up 1 by definition."""
    parts = rendering._environment.get_template("_parts.html").module
    own, measured = ({"speedup": {"ratio": 1.0, "ci95": ci95}} for ci95 in ([1.0, 1.0], [0.9, 1.1]))
    assert "interval" not in parts.value(own, "speedup")  # type: ignore[attr-defined]
    assert "0.90–1.10×" in parts.value(measured, "speedup")  # type: ignore[attr-defined]


def test_members_of_a_search_in_stages_say_where_they_come_from(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch, prepare_here=True)
    write_classifier(tmp_path)
    stages = [{"strategy": "random", "trials": 8}, {"strategy": "evolution", "trials": 8}]
    written = spec(space={"precision": {}}, stages=stages)
    written.pop("strategy", None)
    written.pop("budget", None)
    job_id = submit(store, parse_job(written, folder=tmp_path), tmp_path)
    Controller(store, job_id).run()
    documents = [candidate_document(store, trial.candidate_id) for trial in store.trials.of_job(job_id)]
    assert {document["origin"]["stage"] for document in documents} == {1, 2}
    ids = {document["candidate_id"] for document in documents}
    changed = [document for document in documents if not document["unchanged"]]
    for document in changed:
        base = document["origin"].get("base")
        assert base is None or base in ids - {document["candidate_id"]}
        assert f"(stage {document['origin']['stage']}" in document["summary"]
        assert candidate_fields(document)["trial"].endswith(f"staged: {document['origin']['strategy']}")
    assert any("base" in document["origin"] for document in changed)
