"""Does rounding widths pay on this device? The digits network at every width, in fp32 and int8.

    python benchmarks/rounding.py [FROM [TO]]

One network a width (from 24 to 64 channels in its first stage unless told, 2 and 4 times as many in the others),
untrained, measured against the widest by the paired protocol. Writes a row a width and precision. It reports widths
that are slower than a wider one that is a multiple of 8, their intervals disjoint, or that there is no such width: then
this device has no such steps. About a quarter of an hour.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from rows import write_rows

from evaluators.devices.device import LocalDevice
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import load_model, save_model
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quantize.calibration import calibrate
from hwprofiles import Precision, find_device
from hwprofiles.errors import CandidateError
from search.tasks.digits import Digits, DigitsOptions

MULTIPLE = 8
PROTOCOL = replace(Protocol(), half_width=0.01, max_s=6.0, usable_width=0.2)


def built(width: int, folder: Path) -> dict[str, Path]:
    """The network of a width by precision."""
    task = Digits(DigitsOptions(width=width))
    source = folder / f"{width}.source.onnx"
    task.export(source, trained=False)
    model = clean_graph(load_model(source))
    image = task.inputs("calibration")["image"]
    groups = layer_groups(model, {"image": [1, *image.shape[1:]]})
    ranges = calibrate(model, [{"image": image[:16]}], sorted(activation_tensors(model, groups)), "minmax")
    int8 = Quantizer(model, groups, ranges, Scheme()).apply(
        {g.name: Precision.INT8 for g in groups if Precision.INT8 in g.precisions}
    )
    paths = {name: folder / f"{width}.{name}.onnx" for name in ("fp32", "int8")}
    save_model(model, paths["fp32"])
    save_model(int8, paths["int8"])
    return paths


def main(low: int, high: int) -> None:
    """Builds, measures, compares."""
    profile = find_device("local-cpu")
    sample = {"image": np.ascontiguousarray(Digits(DigitsOptions()).inputs("validation")["image"][:1])}
    device = LocalDevice(profile)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as name:
            widest = built(high, Path(name))
            for width in range(low, high):
                for precision, path in built(width, Path(name)).items():
                    row: dict[str, Any] = {"width": width, "precision": precision}
                    try:
                        found = device.measure(
                            LatencyRequest(widest[precision], path, sample, protocol=PROTOCOL, limit_s=120)
                        )
                    except CandidateError as error:
                        rows.append(row | {"ratio": "", "low": "", "high": "", "verdict": error.message})
                        continue
                    ends = found.ratio_ci95
                    verdict = found.health.verdict if found.health else ""
                    row |= {"ratio": round(found.ratio, 4), "low": round(ends[0], 4), "high": round(ends[1], 4)}
                    rows.append(row | {"verdict": verdict})
                    print(rows[-1], file=sys.stderr, flush=True)
    finally:
        device.close()
    rows += [{"width": high, "precision": p, "ratio": 1.0, "low": 1.0, "high": 1.0, "verdict": ""} for p in widest]
    path = write_rows("rounding", profile, rows)
    print(*summary(rows), sep="\n")
    print(f"rows: {path.relative_to(ROOT)}")


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """By precision, the widths that a wider multiple of 8 beats, and by how much."""
    lines = []
    for precision in ("fp32", "int8"):
        known = {row["width"]: row for row in rows if row["precision"] == precision and row["ratio"] != ""}
        slower = []
        for width, row in known.items():
            wider = [known[w] for w in known if w > width and w % MULTIPLE == 0 and known[w]["low"] > row["high"]]
            if wider and width % MULTIPLE:
                best = max(wider, key=lambda one: one["ratio"] / row["ratio"])
                slower.append(f"{width} takes {best['ratio'] / row['ratio']:.2f} times as long as {best['width']}")
        odd = sum(width % MULTIPLE > 0 for width in known)
        lines.append(f"{precision}: {len(slower)} of {odd} widths are slower than a wider multiple of {MULTIPLE}")
        lines += [f"  {one}" for one in slower]
    return lines


if __name__ == "__main__":
    main(*(int(one) for one in (*sys.argv[1:], *("24", "64")[len(sys.argv) - 1 :])))
