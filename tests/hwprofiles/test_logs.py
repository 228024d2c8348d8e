"""Logs of long-running commands, as text and as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from hwprofiles.logs import FORMAT, LOGGER, log_to_stderr


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def test_json_lines_carry_ids_and_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FORMAT, "json")
    log_to_stderr()
    log = logging.getLogger("paretune.worker")
    log.info("job %s begins", "ab12", extra={"job_id": "ab12", "worker_id": "w"})
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("it failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "job ab12 begins"
    assert (first["level"], first["logger"], first["job_id"], first["worker_id"]) == ("info", log.name, "ab12", "w")
    assert first["time"].endswith("+00:00")
    assert "ValueError: no" in second["traceback"]
    assert "job_id" not in second


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(FORMAT, raising=False)
    log_to_stderr()
    logging.getLogger("paretune.worker").warning("the database is away")
    assert capsys.readouterr().err.rstrip().endswith("WARNING the database is away")
