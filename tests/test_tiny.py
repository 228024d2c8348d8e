"""A whole search on the modelled device, from the job file to the front, as ``paretune run`` does it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from small_jobs import write_job

from dashboards.cli import run_app


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What ``paretune run --format json`` prints, on stdout alone."""
    folder = tmp_path_factory.mktemp("tiny")
    job = write_job(folder, constraints=["accuracy >= baseline - 0.0024"], budget={"trials": 24})
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_HOME", str(folder / "home"))
        patch.delenv("PARETUNE_DB", raising=False)
        patch.setattr("sys.stdout.write", lines.append)
        assert run_app(["run", str(job), "--format", "json"]) == 0
    return json.loads("".join(lines))


NUMBER = (int, float)
LATENCY = {"p50": NUMBER, "ci95": [NUMBER, NUMBER], "n": int}
MEMBER = {
    "candidate_id": str, "digest": str, "trial": int, "state": str, "strategy": str, "simulated": bool,
    "tied_with": list, "decisions": dict,
    "metrics": {
        "accuracy": NUMBER, "cosine": NUMBER, "latency_ms": LATENCY, "speedup": {"ratio": NUMBER, "ci95": [NUMBER, NUMBER]},
        "size_bytes": int, "peak_memory_bytes": int,
    },
}  # fmt: skip
SHAPE = {
    "job_id": str, "state": str, "device": str, "trials": {"done": int, "failed": int},
    "objectives": [{"metric": str, "direction": str}, {"metric": str, "direction": str}],
    "hypervolume": {"value": NUMBER, "reference": {"cosine": NUMBER, "speedup": NUMBER}}, "wall_s": NUMBER,
    "baseline": {"metrics": {"accuracy": NUMBER, "latency_ms": LATENCY, "size_bytes": int}},
}  # fmt: skip


def conforms(value: Any, shape: Any) -> bool:
    """Whether a document has at least these keys, of these types."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and conforms(value[key], shape[key]) for key in shape)
    if isinstance(shape, list):
        return len(value) == len(shape) and all(conforms(one, kind) for one, kind in zip(value, shape, strict=True))
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


def test_the_document_has_the_promised_shape(front: Any) -> None:
    assert conforms(front, SHAPE)
    assert front["front"]
    assert all(conforms(member, MEMBER) for member in front["front"])
