"""A search against an engineer's afternoon: the default job on a transformer encoder, and every setting tried by hand.

    python benchmarks/transformer.py [MINUTES [JOB]]

Searches ``examples/onnx.yaml`` (a 6-layer encoder, hidden 384, 128 tokens), then builds the settings that a user of
ONNX Runtime would try (dynamic or static int8, per tensor or per channel, of all operators or the matrix products
alone, 8- and 4-bit weights, each with and without the runtime's transformer fusions) with ONNX Runtime's own tools, and
measures each with the same protocol and the same quality. JOB is a finished job to compare with.

To hold: the front has a candidate at least 1.8x faster at cosine 0.99 or better, and no setting beats the front: for
each there is a member at least as true and as fast.
"""

from __future__ import annotations

import logging
import subprocess
import sys

from against_hand import compare
from benchmarks_path import ROOT
from lines import Lines
from rows import write_rows

from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import load_job, parse_job
from search.store import Store


def main(minutes: float, job_id: str | None) -> None:
    """Searches (or takes a job that has searched already), tries by hand, compares."""
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
        comparison = compare(store, job_id, heads=12, hidden=384)
        trials = len(store.trials.of_job(job_id))
    path = write_rows("transformer", spec.profile, comparison.rows)
    good = max(
        (row["ratio"] for row in comparison.rows if row["kind"] == "front" and row["cosine"] >= 0.99), default=0.0
    )
    print(f"{trials} trials; best at cosine 0.99 or better: {good:.2f}x; beat the front: {comparison.better}")
    print(f"rows: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else None)
