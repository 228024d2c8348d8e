"""``paretune docs`` and ``paretune examples``."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.cli import run_app
from dashboards.shipped import examples, pages

ROOT = Path(__file__).parents[2]


def test_every_page_and_example_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["docs"]) == run_app(["examples"]) == 0
    printed = capsys.readouterr().out.split()
    assert {*pages(), *examples()} <= set(printed)
    assert set(pages()) == {path.stem for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("topic", ["job-file", "job-file.md", "docs/job-file.md"])
def test_a_page_is_printed_as_it_is_in_a_pipe(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["docs", topic]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "job-file.md").read_text()


def test_an_example_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    assert run_app(["examples", "digits", "-o", str(file)]) == 0
    assert file.read_text() == (ROOT / "examples" / "digits.yaml").read_text()
    file.write_text("mine")
    assert run_app(["examples", "joint", "-o", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        (["docs", "jobfile"], 3, "did you mean 'job-file'?"),
        (["examples", "digit"], 3, "did you mean 'digits'?"),
        (["examples", "-o", "x.yaml"], 2, "paretune examples digits -o digits.yaml"),
        (["examples", "digits", "-o", "no/such/folder.yaml"], 4, "choose a writable folder"),
    ],
)
def test_mistakes(line: list[str], code: int, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(line) == code
    assert hint in capsys.readouterr().err
