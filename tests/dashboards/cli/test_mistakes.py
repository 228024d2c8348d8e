"""Job files and command lines with one mistake each: the field or option and the mend are named, and nothing is left
behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from mistakes import JOB_FILES, LINES, Mistake, write_folder

from dashboards.cli import run_app
from hwprofiles.errors import ParetuneError


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job file that is accepted by mistake fails the test at once, rather than after a search."""

    def accept(*_: object) -> str:
        raise ParetuneError("the job was accepted")

    monkeypatch.setattr("search.controller.submission.submit", accept)
    monkeypatch.setenv("COLUMNS", "80")


def test_there_are_enough() -> None:
    assert len(JOB_FILES) >= 60
    assert len(LINES) >= 40
    names = [mistake.name for mistake in (*JOB_FILES, *LINES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("mistake", [*JOB_FILES, *LINES], ids=lambda mistake: mistake.name)
def test_the_answer(
    mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "work"
    write_folder(folder, mistake)
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = run_app(list(mistake.line or ("run", "job.yaml")))
    output, errors = capsys.readouterr()
    assert (code, output) == (mistake.code, "")
    error, hint = errors.splitlines()
    assert error.startswith(f"error: {mistake.said}")
    assert hint.startswith("  hint: ")
    assert mistake.mended
    assert mistake.mended in hint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("text", [mistake.mended for mistake in JOB_FILES if mistake.mended.startswith("write: ")])
def test_the_mend_is_yaml(text: str) -> None:
    """What a hint says to write is what the job file may hold, constraints aside."""
    import yaml

    written = text.removeprefix("write: ").partition(", without a unit")[0].partition(", with the name")[0]
    assert yaml.safe_load(written) is not None
