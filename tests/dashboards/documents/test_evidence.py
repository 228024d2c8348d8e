"""What stands behind a job's figures is said wherever they are shown, and so is what a fast candidate costs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboards.cli import run_app
from dashboards.documents.candidates import candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.documents.trials import trials_document
from dashboards.figures import figure
from dashboards.web.picture import save_html, save_png
from dashboards.words.runtime import costs_by_runtime, costs_in_words, costs_of
from hwprofiles import Profile, find_device
from search.outcome import TrialOutcome
from search.space.candidate import Decision, Space
from search.states import JobState, TrialState
from search.store import Store, this_process

LAYERS = ("stem", "body", "head")
OBJECTIVES = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}]
FP32 = {
    "cosine": 1.0, "accuracy": 0.97, "size_bytes": 1_400_000, "latency_ms": {"p50": 7.1, "ci95": [7.0, 7.2], "n": 64},
    "speedup": {"ratio": 1.0, "ci95": [0.99, 1.01]},
}  # fmt: skip
INT8 = FP32 | {
    "cosine": 0.99, "latency_ms": {"p50": 2.1, "ci95": [2.0, 2.2], "n": 64},
    "speedup": {"ratio": 3.4, "ci95": [3.3, 3.5]},
}  # fmt: skip
MEASURED = Profile(
    device="bench", runtime="onnxruntime", runtime_version="1", processor="any", instruction_sets=(), cores=(0,),
    memory_bytes=1,
)  # fmt: skip
STARTS = {"cold_start_ms": {"p50": 9.3}, "peak_memory_bytes": 15_200_000}
SLOW_STARTS = {"cold_start_ms": {"p50": 79.6}, "peak_memory_bytes": 57_300_000}


def add_job(store: Store, profile: Profile, *, bounds: bool = False) -> tuple[str, str]:
    """A finished job with one candidate on its front that runs in OpenVINO: the ids of both."""
    spec = {"objectives": OBJECTIVES, "budget": {"trials": 4}}
    job_id = store.jobs.create(name="figures", spec=spec, spec_folder=".", profile=profile)
    lease = store.jobs.lease(job_id, this_process())
    space = Space(
        (*(Decision(layer, ("fp32", "int8"), "precision", target=layer, scope="layer") for layer in LAYERS),
         Decision("runtime", ("onnxruntime", "openvino:bf16"), "runtime", scope="device")), "context",
    )  # fmt: skip
    quality = {"quality_runtime": "onnxruntime"} if bounds else {}
    metrics = {**INT8, **SLOW_STARTS, **quality}
    baseline = {**FP32, **STARTS, **quality}
    if bounds:
        metrics |= {"speedup": {"ratio": 4.0}, "latency_ms": {"p50": 1.5, "n": 0}}
    store.jobs.set_preparation(lease, space=space.to_dict(), baseline={"metrics": baseline, "facts": {}})
    values = dict.fromkeys(LAYERS, "int8") | {"runtime": "openvino:bf16"}
    row = store.trials.add(lease, 0, "nsga2", profile.simulated, [(0, space.candidate(values))])[0]
    store.trials.finish(lease, row.candidate_id, TrialOutcome(TrialState.DONE, metrics=metrics))
    front = {
        "objectives": OBJECTIVES, "hypervolume": {"value": 0.2, "reference": {}}, "members": [row.candidate_id],
        "tied_with": {}, "nearest_miss": None, "final": True,
    }  # fmt: skip
    store.fronts.add(lease, front)
    store.jobs.set_state(lease, JobState.DONE)
    return job_id, row.candidate_id


@pytest.fixture
def shown(
    store: Store, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str, str], dict[str, str]]:
    """All places where a job and its candidate are shown, by name."""
    monkeypatch.setenv("COLUMNS", "160")

    def command(*arguments: str) -> str:
        capsys.readouterr()
        assert run_app([*arguments, "--db", store.url]) == 0
        return " ".join(capsys.readouterr().out.split())

    def all_of(job: str, candidate: str) -> dict[str, str]:
        save_html(front_document(store, job), trials_document(store, job), tmp_path / "front.html")
        save_png(front_document(store, job), trials_document(store, job), tmp_path / "front.png")
        pages = {
            "job": f"/jobs/{job}", "live": f"/live/jobs/{job}", "list": "/", "candidate": f"/candidates/{candidate}",
        }  # fmt: skip
        text = {name: httpx.get(address + place).text for name, place in pages.items()}
        text["saved"] = (tmp_path / "front.html").read_text()
        text = {name: " ".join(page.split()) for name, page in text.items()}
        return text | {
            "front": command("front", job), "status": command("status", job), "show": command("show", candidate),
        }  # fmt: skip

    return all_of


TABLES = ("job", "live", "saved", "candidate", "front", "show")


def test_a_dry_run_says_everywhere_that_it_is_made_up(store: Store, shown: Any) -> None:
    job, candidate = add_job(store, find_device("dry-run"))
    found = shown(job, candidate)
    assert [name for name, text in found.items() if "made up" not in text] == []
    assert [name for name, text in found.items() if "paretune export" in text] == []
    assert "95 %" not in found["candidate"].partition("<table")[0]
    assert ">Measured<" not in found["candidate"]


def test_a_modelled_device_bounds_speed_and_offers_no_export(store: Store, shown: Any) -> None:
    job, candidate = add_job(store, find_device("raspberry-pi-5"), bounds=True)
    found = shown(job, candidate)
    assert [name for name, text in found.items() if "odelled" not in text] == []
    assert [name for name in TABLES if "at most" not in found[name] or "at best" not in found[name]] == []
    assert "at most" in found["list"]
    assert "best speed-up, at most" in found["status"]
    assert [name for name, text in found.items() if "paretune export" in text or "4.00–4.00" in text] == []
    assert ">Measured<" not in found["candidate"]
    assert "Evaluated quality, modelled speed" in found["candidate"]
    assert 'class="chart modelled"' in found["job"]


def test_a_job_of_an_earlier_version_made_up_its_quality(store: Store) -> None:
    job, candidate = add_job(store, find_device("raspberry-pi-5"))
    assert job_document(store, job)["evidence"] == "invented"
    assert candidate_document(store, candidate)["evidence"] == "invented"


def test_the_runtime_and_its_costs_stand_beside_the_figures(store: Store, shown: Any) -> None:
    job, candidate = add_job(store, MEASURED)
    found = shown(job, candidate)
    assert [name for name in TABLES if "openvino:bf16" not in found[name]] == []
    costs = "cold start 79.6 ms (baseline 9.30 ms), peak memory 57.3 MB (baseline 15.2 MB)"
    assert [name for name in TABLES if costs not in found[name]] == []
    assert "onnxruntime" in found["front"]
    assert f"paretune export {candidate}" in found["front"]
    front = front_document(store, job)
    assert (front["runtime"], front["front"][0]["runtime"]) == ("onnxruntime", "openvino:bf16")


@pytest.mark.parametrize("width", [60, 80])
def test_ids_and_runtimes_are_whole_on_a_narrow_terminal(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    job, candidate = add_job(store, MEASURED)
    assert run_app(["front", job, "--db", store.url]) == 0
    out = capsys.readouterr().out
    assert candidate in out
    assert "openvino:bf16" in out


class TestCosts:
    def test_a_little_worse_is_noise(self) -> None:
        assert costs_of({"peak_memory_bytes": 105}, {"peak_memory_bytes": 100}) == {}
        assert costs_of({"cold_start_ms": {"p50": 5.0}}, {"cold_start_ms": {"p50": 9.0}}) == {}
        assert costs_of({"peak_memory_bytes": 150}, {}) == {}

    def test_the_worst_of_a_runtime_is_shown(self) -> None:
        rows = [
            {"runtime": "a", "costs": costs_of({"peak_memory_bytes": value}, {"peak_memory_bytes": 100})}
            for value in (150, 300, 90)
        ]
        assert costs_in_words(costs_by_runtime(rows)["a"]) == "peak memory 300 B (baseline 100 B)"


class TestOneRounding:
    @pytest.mark.parametrize(
        ("value", "metric", "text"),
        [
            (0.999989, "cosine", "0.999989"), (0.9999999, "cosine", "0.9999999"), (1.0, "cosine", "1.000000"),
            (1 - 1e-12, "cosine", "0.999999999"), (0.99996, "accuracy", "0.99996"), (0.9996, "speedup", "0.9996×"),
            (0.97, "accuracy", "0.9700"), (1.0004, "speedup", "1.00×"), (-0.99999, "score", "-1.0000"),
        ],
    )  # fmt: skip
    def test_what_is_below_one_never_reads_as_one(self, value: float, metric: str, text: str) -> None:
        assert figure(value, metric) == text

    def test_tips_show_what_tables_do(self, store: Store, search: Any) -> None:
        trials = trials_document(store, search.job_id)
        row = trials["trials"][4]
        cosine, speedup = row["values"]["cosine"], row["values"]["speedup"]
        assert row["shown"]["cosine"] == figure(cosine, "cosine")
        assert row["shown"]["speedup"].startswith(figure(speedup, "speedup") + " (")
        assert {"accuracy", "latency_ms", "size_bytes"} <= set(row["shown"])
        assert trials["baseline"]["shown"]["cosine"] == "1.000000"

    def test_the_script_rounds_ticks_alone(self) -> None:
        script = (Path(__file__).parents[3] / "dashboards/web/static/chart.js").read_text()
        assert "row.shown[metric]" in script
        assert not re.search(r"toFixed\(digits|threeDigits\(value\)} ms", script)
        body = script[script.index("  function tick(") : script.index("  const size =")]
        cases = [[0.99998, "", 1e-5], [0.9999, "", 1e-4], [0.5, "×", 0.5], [2e6, "B", 1e6], [3, None, 1]]
        code = f"{body}\nconsole.log(JSON.stringify({json.dumps(cases)}.map((c) => tick(...c))))"
        answer = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout) == ["0.99998", "0.9999", "0.5×", "2.00 MB", "3"]


class TestDeadProcesses:
    @pytest.fixture
    def dead(self, store: Store) -> str:
        spec = {"objectives": OBJECTIVES, "budget": {"trials": 4}}
        job = store.jobs.create(name="dead", spec=spec, spec_folder=".", profile=MEASURED)
        lease = store.jobs.lease(job, this_process() | {"pid": 2**22 + 1})
        store.jobs.set_state(lease, JobState.RUNNING)
        return job

    def test_it_is_said_and_so_is_the_way_on(
        self, store: Store, address: str, dead: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "160")
        document = job_document(store, dead)
        assert (document["state"], document["process_died"]) == ("running", True)
        assert run_app(["jobs", "--db", store.url]) == 0
        assert run_app(["status", dead, "--db", store.url]) == 0
        assert run_app(["front", dead, "--db", store.url]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert out.count("(its process has died)") == 3
        assert f"resume it with: paretune resume {dead}" in out
        assert "its process has died" in httpx.get(address).text
        page = httpx.get(f"{address}/jobs/{dead}").text
        assert f"paretune resume {dead}" in page
        assert "state-running" not in page

    def test_a_living_one_is_running(self, store: Store, search: Any) -> None:
        assert job_document(store, search.job_id)["process_died"] is False


def test_the_last_line_of_an_export_names_the_runtime_and_its_costs(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An export of a candidate whose runtime is not the one that anybody would open the file in."""
    _, candidate = add_job(store, MEASURED)
    receipt = {
        "verdict": "confirmed", "size_bytes": 1000, "reasons": [], "health": None, "quality": {"test": {}},
        "findings": [],
        "latency": {"speedup": {"ratio": 3.4, "ci95": [3.3, 3.5]}, "latency_ms": {"p50": 2.1}}, "device": "bench",
        "measurement": {"runtime": "openvino:bf16"}, **SLOW_STARTS,
    }  # fmt: skip
    monkeypatch.setattr("search.export.export.export_candidate", lambda *_, **__: receipt)
    assert run_app(["export", candidate, "-o", str(tmp_path / "bundle"), "--db", store.url]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "measured in openvino:bf16; another runtime may be slower. Costs: cold start 79.6 ms (baseline 9.30 ms), "
        "peak memory 57.3 MB (baseline 15.2 MB)"
    )
