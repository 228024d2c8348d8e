"""Runtime and precision together: the default job on a transformer encoder, with every runtime of this machine.

    python benchmarks/runtimes.py [MINUTES [JOB]]

Searches ``examples/onnx.yaml`` (a 6-layer encoder, hidden 384, 128 tokens) and writes one row for each member of the
front and one for each answer about the whole model: what it gains in each runtime, precision and number format, always
against fp32 on ONNX Runtime. JOB is a finished job to write instead.

To hold, on a processor with AMX or AVX512-BF16: a member at least 3.5x as fast at cosine 0.999 or better.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks_path import ROOT
from lines import Lines
from rows import write_rows

from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import load_job, parse_job
from search.space.candidate import RUNTIME
from search.store import Store

FASTER, COSINE = 3.5, 0.999


def main(minutes: float, job_id: str | None) -> None:
    """Searches (or takes a job that has searched already), and compares with what must hold."""
    logging.disable(logging.WARNING)
    examples = ROOT / "examples"
    if not (examples / "encoder.onnx").exists():
        subprocess.run([sys.executable, str(examples / "make_encoder.py")], check=True)
    spec = load_job(examples / "onnx.yaml")
    spec = parse_job(spec.model_dump(mode="json") | {"budget": {"trials": 200, "minutes": minutes}}, folder=examples)
    with Store(default_database()) as store:
        if job_id is None:
            job_id = submit(store, spec, examples)
            Controller(store, job_id, Lines()).run()
        job = store.jobs.get(job_id)
        profile = store.devices.profile(job.profile_digest)
        trials = store.trials.of_job(job.job_id)
        members = [store.trials.get(member) for member in (store.fronts.get(job.job_id) or {"members": []})["members"]]
    rows = [_front_row(member.candidate_id, member.decisions, member.metrics) for member in members]
    rows += [_answer_row(answer) for answer in (job.baseline or {})["facts"]["device_answers"] if "runtime" in answer]
    path = write_rows("runtimes", profile, rows)
    true = [row for row in rows if row["kind"] == "front" and row["cosine"] >= COSINE]
    best = max(true, key=lambda row: row["ratio"], default=None)
    shown = f"{best['ratio']:.2f}x in {best['runtime']} at cosine {best['cosine']:.5f}" if best else "none"
    held = "holds" if best and best["ratio"] >= FASTER else "does NOT hold"
    print(f"{len(trials)} trials, {len(members)} members; best at cosine {COSINE} or better: {shown}; {held}")
    print(f"rows: {path.relative_to(ROOT)}")


def _front_row(name: str, decisions: Mapping[str, str], metrics: Mapping[str, Any]) -> dict[str, Any]:
    layers = [value for decision, value in decisions.items() if decision.startswith("precision:")]
    counted = ", ".join(f"{layers.count(value)} {value}" for value in dict.fromkeys(layers))
    return _row("front", decisions.get(RUNTIME, ""), name, counted, metrics["speedup"], round(metrics["cosine"], 7))


def _answer_row(answer: Mapping[str, Any]) -> dict[str, Any]:
    what = " ".join(answer[key] for key in ("graph", "precision", "activations") if answer.get(key))
    return _row("answer", answer["runtime"], "", what, answer, "", answer.get("reason", ""))


def _row(
    kind: str, runtime: str, candidate: str, what: str, gain: Mapping[str, Any], cosine: float | str, failed: str = ""
) -> dict[str, Any]:
    low, high = gain.get("ci95", ("", ""))
    figures = {"ratio": gain.get("ratio", ""), "low": low, "high": high}
    rounded = {name: value if value == "" else round(float(value), 4) for name, value in figures.items()}
    return {
        "kind": kind, "runtime": runtime, "candidate": candidate, "layers": what, "cosine": cosine, **rounded,
        "failed": failed[:120],
    }  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else None)
