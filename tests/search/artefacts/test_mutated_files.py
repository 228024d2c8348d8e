"""Files with faults cost an error and nothing else; ``benchmarks/fuzz_uploads.py`` sends 10,000 of them to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from databases import Databases
from mutated_files import MUTATIONS, _whole_jobs, mutated_job

from hwprofiles.errors import InvalidInput
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.artefacts.submitted import check_submission
from search.store import Store
from search.tasks import open_task

COUNT = 300
Put = Callable[[Mapping[str, bytes]], dict[str, str]]


@pytest.fixture
def store(databases: Databases) -> Iterator[Store]:
    with Store(databases.create("sqlite")) as opened:
        yield opened


@pytest.fixture
def owned(store: Store) -> OwnedArtefacts:
    return OwnedArtefacts(store, "ann", ArtefactStore())


@pytest.fixture
def put(owned: OwnedArtefacts, tmp_path: Path) -> Put:
    """Sends files, and returns their SHA-256 by name."""
    path = tmp_path / "file"

    def put_files(files: Mapping[str, bytes]) -> dict[str, str]:
        names = {}
        for name, data in files.items():
            path.write_bytes(data)
            names[name] = owned.put(path).sha256
        return names

    return put_files


def test_jobs_without_faults_are_accepted(owned: OwnedArtefacts, put: Put) -> None:
    for files in _whole_jobs():
        names = put(files)
        check_submission(owned, mutated_job(0).task, names)
        open_task("onnx", mutated_job(0).task["options"], owned.folder(names))


def test_the_same_seed_gives_the_same_files() -> None:
    assert mutated_job(3) == mutated_job(3) != mutated_job(4)


def test_files_with_faults_cost_an_error(owned: OwnedArtefacts, put: Put, home: Path, tmp_path: Path) -> None:
    errors, accepted = list[InvalidInput](), 0
    for seed in range(COUNT):
        job = mutated_job(seed)
        try:
            check_submission(owned, job.task, put(job.files))
            accepted += 1
        except InvalidInput as error:
            errors.append(error)
    assert all(error.hint for error in errors)
    assert min(len(errors), accepted) > COUNT / 20
    assert {path.name for path in home.iterdir()} <= {"artefacts", "cache"}
    assert {path.name for path in tmp_path.iterdir()} == {home.name, "file"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_fault_is_made(name: str) -> None:
    assert any(name in mutated_job(seed).mutation for seed in range(COUNT))
