"""Files with faults cost an error and nothing else; ``benchmarks/fuzz_uploads.py`` sends 10,000 of them to a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutated_files import MUTATIONS, mutated_job

from hwprofiles.errors import InvalidInput
from search.artefacts.job_folders import materialise
from search.artefacts.store import ArtefactStore
from search.artefacts.submitted import check_submission
from search.tasks import open_task

COUNT = 300


def test_jobs_without_faults_are_accepted(home: Path) -> None:
    from mutated_files import _whole_jobs

    artefacts = ArtefactStore()
    for files in _whole_jobs():
        names = {name: artefacts.put_bytes(data).sha256 for name, data in files.items()}
        check_submission(artefacts, mutated_job(0).task, names)
        open_task("onnx", mutated_job(0).task["options"], materialise(artefacts, names))


def test_the_same_seed_gives_the_same_files() -> None:
    assert mutated_job(3) == mutated_job(3) != mutated_job(4)


def test_files_with_faults_cost_an_error(home: Path, tmp_path: Path) -> None:
    artefacts = ArtefactStore()
    errors, accepted = list[InvalidInput](), 0
    for seed in range(COUNT):
        job = mutated_job(seed)
        names = {name: artefacts.put_bytes(data).sha256 for name, data in job.files.items()}
        try:
            check_submission(artefacts, job.task, names)
            accepted += 1
        except InvalidInput as error:
            errors.append(error)
    assert all(error.hint for error in errors)
    assert min(len(errors), accepted) > COUNT / 20
    assert {path.name for path in home.iterdir()} == {"artefacts", "cache"}
    assert [path for path in tmp_path.iterdir() if path != home] == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_fault_is_made(name: str) -> None:
    assert any(name in mutated_job(seed).mutation for seed in range(COUNT))
