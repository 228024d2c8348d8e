"""A package of a user's own is searched, shown and exported by the command line like what ships."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from command_line import ROOT, document, paretune
from inline_search import InlineSandbox, measuring_briefly, without_ray
from small_jobs import FinishedJob, spec
from token_net import HIDDEN, TOKENS, WIDTH
from toy_package import PROJECT, SOURCES, install

from dashboards.cli import run_app
from dashboards.server import background
from evaluators.graphs.layer_cost import LayerCost
from evaluators.modelled.roofline import layer_ms
from hwprofiles import Precision, find_device
from search.space.candidate import Decision, Space
from search.store import Store
from search.techniques import TECHNIQUES

NAMES = PROJECT["entry-points"]["paretune.techniques"]
DECISIONS = (
    Decision("low_rank:grow", ("full", "8", "4"), "low_rank", target="grow", scope="module"),
    Decision("low_rank:shrink", ("full", "8", "4"), "low_rank", target="shrink", scope="module"),
    Decision("merging", ("all", "half"), "merging"),
    Decision("codebook", ("none", "16", "4"), "codebook"),
)
UNCHANGED = {decision.name: decision.choices[0] for decision in DECISIONS}
TRIALS = 12
"""Random search begins with the uniform assignments; of so many all techniques change one."""
Run = Callable[..., str]
pytestmark = pytest.mark.usefixtures("toy_package")


def write_job(folder: Path, device: str) -> Path:
    """A job that names all techniques of the package, and the metric that one of them brings."""
    (folder / "task.py").write_text("from token_net import make_task\n")
    directions = {"cosine": "max", "speedup": "max", "codebook_bytes": "min"}
    job = spec(
        task={"name": "./task.py:make_task"}, devices=[device], space={name: {} for name in NAMES}, recovery=None,
        objectives=[{"metric": metric, "direction": direction} for metric, direction in directions.items()],
        constraints=["codebook_bytes <= 1000", "bit_operations <= baseline"],
        strategy={"name": "random"}, budget={"trials": TRIALS},
    )  # fmt: skip
    path = folder / "toys.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, without Ray and sandboxes."""
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    measuring_briefly(monkeypatch)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str | Path) -> str:
        code = run_app([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return call


@pytest.fixture(scope="module")
def built_job(tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """A job whose candidates were built, run by processes that know the package from their ``PYTHONPATH`` alone."""
    folder = tmp_path_factory.mktemp("toys")
    path = install(folder / "installed")
    job = write_job(folder, "raspberry-pi-5")
    command = paretune("run", job, "--format", "json", home=folder / "home", PYTHONPATH=path)
    return FinishedJob(folder, folder / "home", document(command), command)


def changed_by_all(run: Run, job_id: str, *options: str) -> dict[str, Any]:
    """The candidate, as ``show`` prints it, that all three techniques change."""
    for row in reversed(json.loads(run("candidates", job_id, "--format", "json", *options))["trials"]):
        shown: dict[str, Any] = json.loads(run("show", row["candidate_id"], "--format", "json", *options))
        if {d.technique for d in DECISIONS if shown["decisions"][d.name] != d.choices[0]} == set(NAMES):
            return shown
    raise AssertionError("no candidate is changed by all three")


def costs(decisions: Mapping[str, str]) -> list[LayerCost]:
    """What the layers cost with these decisions, from the shapes of the net."""
    left = TOKENS // 2 if decisions["merging"] == "half" else TOKENS

    def layer(inputs: int, outputs: int, tokens: int, rank: str = "full") -> LayerCost:
        weights, between = (inputs * outputs, 0) if rank == "full" else (int(rank) * (inputs + outputs), int(rank))
        read, written = tokens * (inputs + between), tokens * (outputs + between)
        return LayerCost(tokens * weights, weights, read, written, tokens, 4 * weights)

    return [
        layer(8, WIDTH, TOKENS), layer(WIDTH, HIDDEN, left, decisions["low_rank:grow"]),
        layer(HIDDEN, WIDTH, left, decisions["low_rank:shrink"]), layer(WIDTH, 5, left),
    ]  # fmt: skip


def bit_operations(decisions: Mapping[str, str]) -> int:
    return 32 * 32 * sum(cost.macs for cost in costs(decisions))


def codebook_bytes(decisions: Mapping[str, str]) -> int:
    """Four bytes for each value of each matrix's codebook."""
    split = sum(decisions[name] != "full" for name in ("low_rank:grow", "low_rank:shrink"))
    return 0 if decisions["codebook"] == "none" else 4 * int(decisions["codebook"]) * (4 + split)


def space_of(job_id: str, database: str) -> Space:
    with Store(database) as store:
        return Space.from_dict(store.jobs.get(job_id).space or {})


class TestCount:
    def test_a_technique_is_one_file_one_line_and_one_test_class(self) -> None:
        modules = {place.partition(":")[0].replace(".", "/") for place in NAMES.values()}
        assert {
            str(path.relative_to(SOURCES).with_suffix("")) for path in (SOURCES / "toy_plugin").glob("[a-z]*.py")
        } == modules
        rest = [*(SOURCES.glob("*.toml")), SOURCES / "toy_plugin" / "__init__.py"]
        for name, place in NAMES.items():
            module, _, kind = place.partition(":")
            lines = [line for path in rest for line in path.read_text().splitlines() if name in line or kind in line]
            assert lines == [f'{name} = "{place}"']
            test = (SOURCES / f"test_{module.rpartition('.')[2]}.py").read_text()
            assert test.count("\nclass ") == test.count(f"\nclass Test{kind}(") == 1

    def test_the_product_knows_none_of_them(self) -> None:
        assert set(NAMES) < set(TECHNIQUES)
        for package in ("hwprofiles", "evaluators", "search", "dashboards"):
            assert not [path for path in (ROOT / package).rglob("*.py") if "toy_plugin" in path.read_text()]


def test_a_dry_run_makes_figures_up(run: Run, tmp_path: Path, home: Path) -> None:
    front = json.loads(run("run", write_job(tmp_path, "dry-run"), "--format", "json"))
    assert set(space_of(front["job_id"], f"sqlite:///{home / 'paretune.db'}").decisions) == set(DECISIONS)
    shown = changed_by_all(run, front["job_id"])
    metrics, baseline = shown["metrics"], shown["baseline"]["metrics"]
    assert 0 <= metrics["codebook_bytes"] <= baseline["codebook_bytes"] == 1
    assert metrics["bit_operations"] == bit_operations(shown["decisions"]) < baseline["bit_operations"]
    saved = sum(c.weights for c in costs(UNCHANGED)) - sum(c.weights for c in costs(shown["decisions"]))
    assert metrics["size_bytes"] == baseline["size_bytes"] - 4 * saved


class TestModelledDevice:
    @pytest.fixture
    def shown(self, built_job: FinishedJob, run: Run) -> dict[str, Any]:
        return changed_by_all(run, built_job.job_id, "--db", built_job.database)

    def test_its_space(self, built_job: FinishedJob) -> None:
        assert set(space_of(built_job.job_id, built_job.database).decisions) == set(DECISIONS)

    def test_its_roofline(self, shown: dict[str, Any]) -> None:
        peaks = find_device("raspberry-pi-5").peaks
        assert peaks is not None
        expected = sum(layer_ms(cost, Precision.FP32, peaks) for cost in costs(shown["decisions"]))
        assert shown["metrics"]["latency_ms"]["p50"] == pytest.approx(expected)
        assert shown["metrics"]["bit_operations"] == bit_operations(shown["decisions"])

    def test_its_front(self, built_job: FinishedJob, run: Run) -> None:
        assert {"metric": "codebook_bytes", "direction": "min"} in built_job.front["objectives"]
        assert built_job.front["trials"]["done"] == TRIALS
        for member in built_job.front["front"]:
            assert member["metrics"]["codebook_bytes"] == codebook_bytes(member["decisions"])
        printed = run("front", built_job.job_id, "--db", built_job.database)
        assert "Size of the codebooks" in printed

    def test_what_is_shown(self, built_job: FinishedJob, shown: dict[str, Any]) -> None:
        decisions, size = shown["decisions"], codebook_bytes(shown["decisions"])
        items = {item["title"]: item["fields"] for item in shown["display"]}
        assert shown["metrics"]["codebook_bytes"] == size > 0
        assert shown["summary"] == "all 2 groups of rank 8, merging half, codebook 4"
        assert items["Merged tokens"] == {"merge": "50% left"}
        assert list(items["Codebooks"].values()) == [f"{4 * int(decisions['codebook'])} B"] * 6
        text = paretune("show", shown["candidate_id"], home=built_job.home).stdout
        with Store(built_job.database) as store, background(store) as url:
            page = httpx.get(f"{url}/candidates/{shown['candidate_id']}").text
        for place in (text, page):
            for words in ("Size of the codebooks", f"{size} B", "Codebooks", "Merged tokens", "50% left", *decisions):
                assert words in place, words
        assert "Neighbours are averaged." in page


def test_an_exported_file_is_what_was_measured(run: Run, tmp_path: Path) -> None:
    front = json.loads(run("run", write_job(tmp_path, "local-cpu"), "--format", "json"))
    shown = changed_by_all(run, front["job_id"])
    size = codebook_bytes(shown["decisions"])
    assert shown["metrics"]["bit_operations"] == bit_operations(shown["decisions"])
    run("export", shown["candidate_id"], "-o", tmp_path / "bundle")
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["decisions"] == shown["decisions"]
    assert receipt["claimed"]["codebook_bytes"] == size > 0
    (check,) = (check for check in receipt["checks"] if check["about"] == "codebook_bytes")
    assert check == {
        "about": "codebook_bytes", "outcome": "agrees", "reason": "", "claimed": size, "measured": size,
    }  # fmt: skip
