"""Is a small slow-down seen? A small network against itself with known extra work, by which it is 2 % and 1 % slower.

    python benchmarks/planted.py [TIMES]

How much extra work that is, and what ratio it truly makes, is taken from long measurements on the machine as it is,
which should be quiet. Then the usual measurements: half of them while another core works in bursts. Beside each of the
2 %, the two models are measured unpaired, each alone for half of the same time. Writes one row a measurement after
each, and goes on where it was interrupted. To hold: the interval of one moment excludes 1.0 in at least 95 of 100 at
2 %, in at least 60 at 1 %; under load unpaired ratios scatter at least five times as widely as the paired interval is
wide. 100 take about twenty minutes.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from load import others_busy
from rows import read_rows, write_rows
from same import BUSY, IN_A_ROW, PROTOCOL, QUIET, measured
from small_network import MOST_ROWS, write_network

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest
from evaluators.tensors import Array
from hwprofiles import find_device

SLOWER = (0.02, 0.01)
CALIBRATION_S, TRUTH_S, CORRECTIONS = 15.0, 60.0, 4
BURSTS_S = 1.5
_Z = 1.96


class DeviceEvaluator:
    """The network, and the same with extra work, on this machine."""

    def __init__(self, device: LocalDevice, folder: Path) -> None:
        self._device, self._folder = device, folder
        self.baseline = folder / "network.onnx"
        self.sample: Mapping[str, Array] = write_network(self.baseline)

    def slowed(self, rows: int) -> Path:
        """The network with so many rows of extra work."""
        path = self._folder / f"extra-{rows}.onnx"
        write_network(path, rows)
        return path

    def ratio(self, candidate: Path, seconds: float) -> float:
        """The paired ratio by a measurement of so many seconds."""
        protocol = replace(PROTOCOL, min_s=seconds, max_s=seconds, usable_width=math.inf)
        return self._device.measure(
            LatencyRequest(self.baseline, candidate, self.sample, protocol=protocol, limit_s=600)
        ).ratio

    def rows_for(self, slower: float) -> tuple[int, float]:
        """The extra work that makes the network so much slower, and the ratio that it truly makes.

        The first guess lies on the line through a little and much extra work; as a little costs more than its share,
        it is corrected until the long measurement is within a tenth of what is wanted.
        """
        few, many = MOST_ROWS // 8, MOST_ROWS
        costs = [1 / self.ratio(self.slowed(rows), CALIBRATION_S) - 1 for rows in (few, many)]
        slope = (costs[1] - costs[0]) / (many - few)
        rows, tried = round(few + (slower - costs[0]) / slope), dict[int, float]()
        for _ in range(CORRECTIONS):
            rows = min(MOST_ROWS, max(1, rows))
            if rows in tried:
                break
            tried[rows] = self.ratio(self.slowed(rows), TRUTH_S)
            cost = 1 / tried[rows] - 1
            print(f"{slower:.0%}: {rows} rows are {cost:.2%} slower", file=sys.stderr, flush=True)
            if abs(cost - slower) <= slower / 10:
                break
            rows += round((slower - cost) / slope) or (1 if cost < slower else -1)
        best = min(tried, key=lambda rows: abs(1 / tried[rows] - 1 - slower))
        return best, round(tried[best], 6)

    def unpaired(self, candidate: Path, seconds: float) -> dict[str, float]:
        """Both medians, each of a measurement of that model alone for half of the time, and their ratio."""
        protocol = replace(PROTOCOL, min_s=seconds / 2, max_s=seconds / 2, usable_width=math.inf, drift=False)
        medians = []
        for model in (self.baseline, candidate):
            alone = self._device.measure(LatencyRequest(model, model, self.sample, protocol=protocol, limit_s=600))
            medians.append(
                float(np.median([ms for block in (*alone.baseline_ms, *alone.candidate_ms) for ms in block]))
            )
        return {"unpaired_ratio": round(medians[0] / medians[1], 6)}


def main(times: int) -> None:
    """Measures what is missing and reports."""
    profile = find_device("local-cpu")
    device = LocalDevice(profile)
    rows: list[dict[str, Any]] = read_rows("planted", profile)[: 2 * times]
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = DeviceEvaluator(device, Path(folder))
            planned = {float(row["planted"]): (int(row["extra_rows"]), float(row["true_ratio"])) for row in rows}
            for slower in SLOWER:
                if slower not in planned:
                    planned[slower] = bench.rows_for(slower)
            models = {slower: bench.slowed(planned[slower][0]) for slower in SLOWER}
            while len(rows) < 2 * times:
                load = (QUIET, BUSY)[len(rows) // IN_A_ROW % 2]
                with others_busy(profile, load == BUSY, BURSTS_S):
                    for number in range(len(rows), min(2 * times, (len(rows) // IN_A_ROW + 1) * IN_A_ROW)):
                        slower = SLOWER[number % 2]
                        extra, truth = planned[slower]
                        row = {"measurement": number, "planted": slower, "extra_rows": extra, "true_ratio": truth}
                        row |= {"load": load, **measured(device, (bench.baseline, models[slower]), bench.sample)}
                        alone = bench.unpaired(models[slower], row["seconds"]) if slower == SLOWER[0] else {}
                        rows.append({**row, "unpaired_ratio": "", **alone})
                        write_rows("planted", profile, rows)
                        print(rows[-1], file=sys.stderr, flush=True)
    finally:
        device.close()
    for slower in SLOWER:
        for load in (QUIET, BUSY):
            chosen = [row for row in rows if float(row["planted"]) == slower and row["load"] == load]
            print(f"{slower:.0%} slower, {load}: {summary(chosen)}")
    print(f"rows: {write_rows('planted', profile, rows).relative_to(ROOT)}")


def summary(rows: list[dict[str, Any]]) -> str:
    """What the rows of one slow-down and load come to."""
    names = ("low", "high", "half_width", "true_ratio")
    good = [{name: float(row[name]) for name in names} for row in rows if row["ratio"] != ""]
    if not good:
        return "nothing was measured"
    seen = sum(not row["low"] <= 1.0 <= row["high"] for row in good)
    held = sum(row["low"] <= row["true_ratio"] <= row["high"] for row in good)
    width = statistics.median(row["half_width"] for row in good)
    text = (
        f"seen in {seen} of {len(rows)}; {held} intervals of one moment hold the true ratio "
        f"{good[0]['true_ratio']:.4f}; median half-width {width:.2%}"
    )
    unpaired = [math.log(float(row["unpaired_ratio"])) for row in rows if row["unpaired_ratio"] != ""]
    if len(unpaired) < 2:
        return text
    scatter = _Z * statistics.stdev(unpaired)
    return f"{text}; unpaired ±{scatter:.2%} (95 % of its scatter), {scatter / width:.1f} times as wide"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
