"""What does it cost to search formats while training for them? One shot against plain training in fixed formats.

    python benchmarks/fliqs_time.py [PAIRS]

Both make the same number of steps on one thread, one after the other in turns, on the residual network and the vision
transformer. Writes a row a pair. To hold: the median ratio of the times is at most 1.5. Five minutes.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from benchmarks_path import ROOT
from fliqs_networks import NETWORKS, network
from rows import write_rows

from hwprofiles import find_device
from search.fliqs.held_out import HeldOutQuality
from search.fliqs.one_shot import FixedFormats, OneShotSearch
from search.fliqs.options import OneShotOptions
from search.training.quantised import QuantisedLayers
from search.training.recipe import Recipe
from search.training.recover import recover

FORMATS = ("int4", "int5", "int6", "int7", "int8")
STEPS, LIMIT = 100, 1.5


def seconds(name: str, *, one_shot: bool) -> float:
    """The time of a training, warm."""
    net = network(name, 0)
    module, data = net.module(), net.task.training()
    recipe = Recipe(steps=STEPS, losses={"task": {}}, patience=None, threads=1)
    layers = QuantisedLayers(module, net.layers, FORMATS)
    held: FixedFormats | OneShotSearch
    if one_shot:
        held_out = HeldOutQuality(module, data, recipe, net.module)
        choices = dict.fromkeys(net.layers, FORMATS)
        held = OneShotSearch(layers, choices, net.cost(FORMATS), 30.0, held_out, STEPS, OneShotOptions(), 0)
    else:
        held = FixedFormats(layers, dict.fromkeys(net.layers, "int6"), STEPS, OneShotOptions().inputs_from)
    start = time.perf_counter()
    recover(module, None, data, recipe, constraint=held)
    return time.perf_counter() - start


def main(pairs: int) -> None:
    """Times, reports."""
    rows = []
    for name in NETWORKS:
        seconds(name, one_shot=False)
        for pair in range(pairs):
            plain, shot = seconds(name, one_shot=False), seconds(name, one_shot=True)
            row = {
                "network": name,
                "pair": pair,
                "steps": STEPS,
                "plain_s": round(plain, 3),
                "one_shot_s": round(shot, 3),
            }
            rows.append(row | {"ratio": round(shot / plain, 4)})
            print(rows[-1], file=sys.stderr, flush=True)
    path = write_rows("fliqs-time", find_device("local-cpu"), rows)
    for name in NETWORKS:
        ratios = [row["ratio"] for row in rows if row["network"] == name]
        verdict = "holds" if np.median(ratios) <= LIMIT else "does NOT hold"
        print(f"{name}: {np.median(ratios):.2f} times as long [{min(ratios):.2f}, {max(ratios):.2f}]; {verdict}")
    print(f"rows: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
