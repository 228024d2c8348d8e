"""What all tests share: a data folder that is not the user's, and two finished jobs to look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import document, paretune
from databases import KINDS, Databases
from inline_search import measuring_briefly, without_ray
from installation import build
from small_jobs import FinishedJob, spec, write_job
from toy_package import install

from dashboards import figures
from dashboards.documents.front import front_document
from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import parse_job
from search.store import Store

os.environ.pop("COLUMNS", None)  # a console that is made while it is set keeps that width, whatever a test sets then

LONG = (
    "test_soak", "test_ray_nodes", "test_faults", "test_worker", "test_resume", "test_openapi", "test_joint",
    "test_module_techniques", "test_fliqnas", "test_cli", "test_fliqs_job", "test_agent", "test_fliqs", "test_browser",
    "test_strategies", "test_cli_devices", "test_cli_analysis", "test_command_line", "test_agent_install",
    "test_menagerie", "test_sensitivity", "test_remote", "test_cli_errors", "test_installed",
)  # fmt: skip
"""Modules that take longest, first: of two workers none is left with one of them when the other is done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the measured job runs where that is made; long modules go first."""
    for item in items:
        if "digits_job" in getattr(item, "fixturenames", ()):
            item.add_marker("alone")
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own."""
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARETUNE_DB", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests wait for no measurement of anyone else: not of tests beside them, and not of the user's own jobs."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("tmp"))
        patch.setenv("TMPDIR", folder)
        patch.setattr("tempfile.tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time limit is exceeded for the sake of what else runs beside the tests."""
    monkeypatch.setattr("evaluators.processes.pressure.Pressure.starves", lambda *_: False)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes databases of both kinds; the PostgreSQL server that it starts ends with the tests."""
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """A new database of each kind, with the schema of this version."""
    url = databases.create(request.param)
    yield url
    databases.drop(url)


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """A new database of each kind, without a schema; of SQLite the file is not made yet."""
    url = databases.create(request.param, empty=True)
    yield url
    databases.drop(url)


@pytest.fixture
def toy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of ``tests/plugin`` is installed for this process and its children."""
    figures._rows_of_techniques.cache_clear()
    path = install(tmp_path / "installed")
    monkeypatch.syspath_prepend(path.partition(os.pathsep)[0])
    monkeypatch.setenv("PYTHONPATH", path, prepend=os.pathsep)
    yield
    figures._rows_of_techniques.cache_clear()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def modelled_job(tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """A search on the modelled device, run by the command line with Ray; it has infeasible candidates too."""
    folder = tmp_path_factory.mktemp("modelled")
    objectives = [{"metric": metric, "direction": "max"} for metric in ("cosine", "speedup")]
    job = write_job(folder, name="modelled.yaml", objectives=objectives, constraints=["accuracy >= baseline - 0.0024"])
    command = paretune("run", job, "--trials", "24", "--format", "json", home=folder / "home")
    return FinishedJob(folder, folder / "home", document(command), command)


@pytest.fixture(scope="session")
def digits_job(tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """A search on this machine with a trained teacher: real files, real measurements, made short."""
    folder = tmp_path_factory.mktemp("digits")
    job = spec(
        name="digits-here",
        task={"name": "digits", "options": {"preset": "bench"}},
        devices=[{"name": "local-cpu", "batch": 4}],
        objectives=[
            {"metric": "cosine", "direction": "max"},
            {"metric": "speedup", "direction": "max"},
            {"metric": "size_bytes", "direction": "min"},
        ],
        constraints=["accuracy >= baseline - 0.5"],
        space={"precision": {"choices": ["fp32", "int8", "int8_dynamic"], "activations": "uint8"}},
        strategy={"name": "random"},
        budget={"trials": 4},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_HOME", str(folder / "home"))
        patch.delenv("PARETUNE_DB", raising=False)
        without_ray(patch, prepare_here=True)
        measuring_briefly(patch)
        with Store(default_database()) as store:
            job_id = submit(store, parse_job(job, folder=folder), folder)
            Controller(store, job_id).run()
            front = front_document(store, job_id)
    return FinishedJob(folder, folder / "home", front)
