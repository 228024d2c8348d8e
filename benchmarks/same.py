"""Does a model against itself say 1? A small network measured many times, half of them while another core works.

    python benchmarks/same.py [TIMES]

The candidate is the same network under other bytes, so that it is measured as any candidate is. Writes one row a
measurement after each, and goes on where it was interrupted. To hold: 93 to 97 % of the intervals of one moment hold
1.0; their median half-width is at most 1.0 % on the quiet machine and 1.5 % under load; a gate at 2 % (the interval
excludes 1.0, and the ratio is more than 2 % from it) raises false alarms in at most 0.3 % and 1 %. 400 measurements
take about twenty minutes.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks_path import ROOT
from load import others_busy
from rows import read_rows, write_rows
from small_network import write_network

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.tensors import Array
from hwprofiles import find_device
from hwprofiles.errors import UnhealthyMeasurement

PROTOCOL = replace(Protocol(), attempts=1, energy_s=0.0)
"""As everywhere, but that nothing is measured again: what a loaded machine says at once is the question."""

IN_A_ROW = 20
"""Measurements before the load begins or ends."""

GATE = 0.02
QUIET, BUSY = "quiet", "other core"


def measured(device: LocalDevice, models: tuple[Path, Path], sample: Mapping[str, Array]) -> dict[str, Any]:
    """One measurement as a row; without figures where it came to none."""
    start = time.monotonic()
    names = ("ratio", "low", "high", "wide_low", "wide_high", "half_width", "pairs")
    row: dict[str, Any] = dict.fromkeys(names, "")
    try:
        found = device.measure(LatencyRequest(*models, sample, protocol=PROTOCOL, limit_s=300))
    except UnhealthyMeasurement:
        row |= {"verdict": "unhealthy", "health": ""}
    else:
        low, high = found.moment_ci95 or found.ratio_ci95
        figures = (found.ratio, low, high, *found.ratio_ci95, (high - low) / 2 / found.ratio)
        row |= {name: round(figure, 6) for name, figure in zip(names, figures, strict=False)}
        row |= {"pairs": found.sessions[-1] + 1, "verdict": found.verdict}
        row["health"] = "" if found.health is None else found.health.verdict
    return row | {"seconds": round(time.monotonic() - start, 2)}


def main(times: int) -> None:
    """Measures what is missing and reports."""
    profile = find_device("local-cpu")
    rows: list[dict[str, Any]] = read_rows("same", profile)[:times]
    device = LocalDevice(profile)
    try:
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder) / "network.onnx", Path(folder) / "again.onnx"
            sample = write_network(models[0])
            write_network(models[1], name="again")
            while len(rows) < times:
                load = (QUIET, BUSY)[len(rows) // IN_A_ROW % 2]
                with others_busy(profile, load == BUSY):
                    for number in range(len(rows), min(times, (len(rows) // IN_A_ROW + 1) * IN_A_ROW)):
                        rows.append({"measurement": number, "load": load, **measured(device, models, sample)})
                        write_rows("same", profile, rows)
                        print(rows[-1], file=sys.stderr, flush=True)
    finally:
        device.close()
    print("\n".join(summary(load, [row for row in rows if row["load"] == load]) for load in (QUIET, BUSY)))
    print(f"rows: {write_rows('same', profile, rows).relative_to(ROOT)}")


def summary(load: str, rows: list[dict[str, Any]]) -> str:
    """What the rows of a load come to."""
    good = [{k: float(row[k]) for k in ("ratio", "low", "high", "half_width")} for row in rows if row["ratio"] != ""]
    if not good:
        return f"{load}: nothing was measured"
    held = sum(row["low"] <= 1.0 <= row["high"] for row in good)
    alarms = sum(not row["low"] <= 1.0 <= row["high"] and abs(row["ratio"] - 1) > GATE for row in good)
    spread = math.sqrt(statistics.fmean(math.log(row["ratio"]) ** 2 for row in good))
    return (
        f"{load}: {held} of {len(good)} intervals hold 1.0 ({held / len(good):.1%}), {len(rows) - len(good)} came to "
        f"nothing; median half-width {statistics.median(row['half_width'] for row in good):.2%}; ratios are "
        f"{spread:.2%} from 1.0 (root mean square); {alarms} false alarms at {GATE:.0%}; median "
        f"{statistics.median(float(row['seconds']) for row in rows):.1f} s a measurement"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
