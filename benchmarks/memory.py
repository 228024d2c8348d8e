"""How much memory a job on a large model takes: an ONNX model of 500 MB, prepared, and four candidates of it built.

    python benchmarks/memory.py [MEGABYTES]

The model is a chain of matrix products. It is prepared as a job prepares it (the device is asked, the fp32 model is
measured), then candidates are built and measured by a trial runner, all in the processes of a job but for Ray's. A
watcher looks at the whole process tree 50 times a second. Writes one row a stage: the peak of the tree's sum and of the
largest process, in megabytes of resident memory and as a multiple of the model's size. Pages that processes share are
counted in each. To hold: at most 3 times its size. Some minutes.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from benchmarks_path import ROOT
from onnx import TensorProto, helper, numpy_helper
from rows import write_rows

from evaluators.processes.sandbox import Sandbox
from hwprofiles import find_device
from hwprofiles.errors import UnhealthyMeasurement
from search.job.devices import JobDevice
from search.job.spec import parse_job
from search.space.candidate import Space
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.trial import TrialRunner

MEGABYTES = 500
WIDTH = 2048
LOOK_S = 0.02
VALUES = ("int8", "int8_dynamic", "int8_weight", "int4_weight")


def write_model(path: Path, megabytes: int) -> int:
    """A chain of products of about this size; how many there are."""
    layers = max(2, round(megabytes * 1e6 / (4 * WIDTH * WIDTH)))
    rng = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for number in range(layers):
        values = (rng.standard_normal((WIDTH, WIDTH), np.float32) * np.float32(WIDTH**-0.5)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"p{number}"], f"/layer{number}/MatMul"))
        nodes.append(helper.make_node("Tanh", [f"p{number}"], [f"y{number}"], f"/layer{number}/Tanh"))
        name = f"y{number}"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])
    answer = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH])
    graph = helper.make_graph(nodes, "chain", [given], [answer], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return layers


class Watcher:
    """The peaks of this process's children and theirs, in bytes, since :meth:`stage` was entered."""

    def __init__(self) -> None:
        self._tree, self._one, self._doing = 0, 0, ""
        self._stop = threading.Event()

    @contextmanager
    def stage(self, name: str, size_bytes: int, rows: list[dict[str, Any]]) -> Iterator[None]:
        """Adds the row of what happens inside."""
        self._tree = self._one = 0
        self._stop.clear()
        watching, start = threading.Thread(target=self._watch), time.monotonic()
        watching.start()
        try:
            yield
        finally:
            self._stop.set()
            watching.join()
            rows.append(
                {
                    "stage": name, "model_mb": round(size_bytes / 1e6, 1), "tree_mb": round(self._tree / 1e6, 1),
                    "tree_times": round(self._tree / size_bytes, 2), "process_mb": round(self._one / 1e6, 1),
                    "process_times": round(self._one / size_bytes, 2), "processes": self._doing,
                    "seconds": round(time.monotonic() - start, 1),
                }
            )  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._stop.wait(LOOK_S):
            sizes = []
            for process in [this, *this.children(recursive=True)]:
                with suppress(psutil.Error):
                    sizes.append(process.memory_info().rss)
            if sum(sizes) > self._tree:
                self._tree = sum(sizes)
                self._doing = "+".join(str(round(size / 1e6)) for size in sizes)
            self._one = max(self._one, *sizes)


def main(megabytes: int) -> None:
    """Measures and reports."""
    rows: list[dict[str, Any]] = []
    profile, watcher = find_device("local-cpu"), Watcher()
    with tempfile.TemporaryDirectory(prefix="paretune-memory-") as place:
        folder = Path(place)
        layers = write_model(folder / "model.onnx", megabytes)
        size = (folder / "model.onnx").stat().st_size
        inputs = np.random.default_rng(1).standard_normal((48, WIDTH)).astype(np.float32)
        np.savez(folder / "samples.npz", x=inputs)
        options = {"model": "model.onnx", "data": "samples.npz"}
        job = parse_job(
            {"name": "memory", "task": {"name": "onnx", "options": options}, "space": {"precision": {}}}, folder=folder
        )
        order = JobContext(job, str(folder), (JobDevice(job.labels[0], profile),))
        sandbox = Sandbox(log=folder / "prepare.log", progress=lambda text: print(text, file=sys.stderr, flush=True))
        state = "done"
        try:
            with watcher.stage("preparing", size, rows):
                try:
                    sandbox.call(sandboxed.prepare, order, stage="training", limit_s=3600)
                except UnhealthyMeasurement as error:  # memory is what counts here
                    state = error.state
                # Whatever came of the measurement, the device is asked.
                facts = sandbox.call(sandboxed.facts, order, stage="training", limit_s=3600)
        finally:
            sandbox.close()
        runner = TrialRunner(order.with_preparation(facts, Space((), "")), facts, folder)
        names = [group.name for group in facts.groups]
        half = {f"precision:{name}": "int8" if number < layers // 2 else "fp32" for number, name in enumerate(names)}
        candidates = {value: {f"precision:{name}": value for name in names} for value in VALUES} | {"half int8": half}
        try:
            for number, (name, decisions) in enumerate(candidates.items()):
                with watcher.stage(f"candidate, {name}", size, rows):
                    try:
                        reached = runner.run(decisions, f"candidate-{number}").state.value
                    except UnhealthyMeasurement as error:
                        reached = error.state
                rows[-1] |= {"state": reached}
        finally:
            runner.close()
        rows[0] |= {"state": state}
    path = write_rows("memory", profile, rows)
    worst = max(rows, key=lambda row: row["tree_times"])
    largest = max(rows, key=lambda row: row["process_times"])
    print(
        f"the process tree takes {worst['tree_times']} times the model's size ({worst['stage']}), "
        f"the largest process {largest['process_times']} times ({largest['stage']})\n"
        f"rows: {path.relative_to(ROOT)}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES)
