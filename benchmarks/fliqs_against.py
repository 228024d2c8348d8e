"""FLIQS against what it replaces, at equal bit-operations: one format everywhere, chance, and a knapsack.

    python benchmarks/fliqs_against.py [SEEDS]

On the narrow residual network and the small vision transformer, in int4 to int8, at the cost of int5 and of int6
everywhere, and in int2 to int8 at the cost of int4 everywhere. All have the same training: that of FLIQS, in formats
that were fixed before it. ``uniform`` is int4, int5 or int6 everywhere; ``random`` is the better, on the validation
split, of as many random assignments of that cost as fit into the time of one FLIQS run (two, the second cut short by
half); ``knapsack`` loses least by what each layer's format loses alone, without training, solved exactly; ``found`` are
FLIQS's own formats, fixed before the training: what FLIQS loses to them is what searching cost. ``dearest`` is int8
everywhere, whatever it costs: what there is to win. Writes a row a training. *Won* is said where the 95 % interval of
the paired difference over seeds, on the test split, excludes 0. Goes on where it was interrupted. An hour.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from benchmarks_path import ROOT
from cells import Cell, Row, rows_of
from fliqs_networks import NETWORKS, Network, network
from mean_interval import mean_interval, verdict
from networks import answers
from rows import write_rows
from torch import nn

from hwprofiles import digest_of, find_device
from search.fliqs.cost import AdditiveCost
from search.fliqs.held_out import HeldOutQuality
from search.fliqs.one_shot import FixedFormats, OneShotSearch
from search.fliqs.options import OneShotOptions
from search.strategies.knapsack import least_loss
from search.training.epochs import steps_of
from search.training.normalisation import normalisations
from search.training.quantised import QuantisedLayers
from search.training.recipe import Recipe
from search.training.recover import recover

WIDE = ("int2", "int3", "int4", "int5", "int6", "int7", "int8")
FORMATS = {"int5": WIDE[2:], "int6": WIDE[2:], "int4": WIDE}
LEVELS = tuple(FORMATS)
METHODS = ("fliqs", "uniform", "random", "knapsack")
FOUND, DEAREST = "found", "dearest"
EPOCHS = 10
Formats = dict[str, str]


def trained(
    net: Network, seed: int, names: Sequence[str], formats: Formats | None, wanted: float, share: float = 1.0
) -> tuple[float, Row]:
    """Validation accuracy, and a row, of a training in given formats, or of FLIQS among all ``names`` for ``wanted``
    bit-operations."""
    module, data = net.module(), net.task.training()
    batches = steps_of(data, Recipe(epochs=1))
    steps = round(EPOCHS * batches * share)
    recipe = Recipe(
        steps=steps, evaluate_every=batches, learning_rate=2e-3, losses={"task": {}}, patience=None, threads=1,
        precision="float32", seed=seed,
    )  # fmt: skip
    layers, cost, options = QuantisedLayers(module, net.layers, names), net.cost(names), OneShotOptions()
    held: FixedFormats | OneShotSearch
    if formats is None:
        held_out = HeldOutQuality(module, data, recipe, net.module)
        choices, target = dict.fromkeys(net.layers, names), cost.of({}) / wanted
        held = OneShotSearch(layers, choices, cost, target, held_out, steps, options, seed)
    else:
        held = FixedFormats(layers, formats, steps, options.inputs_from)
    figure = recover(module, None, data, recipe, constraint=held).figure
    logits = answers(module, net.task.inputs("test")["image"])
    score = float(net.task.score({"logits": logits}, "test")["accuracy"].mean())
    return figure, {
        "cost": round(cost.of(held.formats) / wanted, 4), "validation": round(figure, 5), "accuracy": round(score, 5),
        "formats": " ".join(held.formats.values()),
    }  # fmt: skip


def draw_samples(cost: AdditiveCost, names: Sequence[str], wanted: float, rng: np.random.Generator) -> Formats:
    """A random assignment of about this cost, no more than it."""
    while True:
        found = {group: names[int(rng.integers(len(names)))] for group in cost.groups}
        for group in rng.permutation(list(cost.groups)):
            cheaper = [name for name in names if cost.of(found | {str(group): name}) <= wanted]
            if cost.of(found) > wanted or not cheaper:
                found[str(group)] = names[0]
            else:
                found[str(group)] = cheaper[-1]
                break
        if 0.93 * wanted <= cost.of(found) <= wanted:
            return found


def knapsack(net: Network, names: Sequence[str], wanted: float) -> Formats:
    """The assignment that loses least, by what each group's format alone adds to the calibration loss."""
    data = net.task.training()
    samples = data.epoch(np.random.default_rng(1))
    images, labels = torch.from_numpy(samples.inputs[0]), torch.as_tensor(samples.labels).long()
    module = net.module()
    layers = QuantisedLayers(module, net.layers, names)
    with torch.no_grad():
        module.train()
        layers.select({})
        for part in normalisations(module):
            part.eval()
        module(images[:512])
        module.eval()
        layers.begin()

        def loss(formats: Formats) -> float:
            layers.select(formats)
            return float(nn.functional.cross_entropy(module(images), labels))

        least = loss({})
        losses = np.array([[max(0.0, loss({group: name}) - least) for name in names] for group in net.layers])
    costs = np.array([[net.cost(names).groups[group][name] for name in names] for group in net.layers])
    found = least_loss(list(losses), list(costs / wanted), 1.0)
    if found is None:
        raise SystemExit(f"no assignment costs {wanted} or less")
    return {group: names[place] for group, place in zip(net.layers, found, strict=True)}


def work(cell: Cell) -> Row:
    """One method on one network, at one cost."""
    net, seed = network(cell["network"], cell["seed"]), cell["seed"]
    names = FORMATS.get(cell["level"], WIDE[2:])
    cost, uniform = net.cost(names), dict.fromkeys(net.layers, cell["level"] or WIDE[-1])
    wanted = cost.of(uniform)
    if cell["method"] == "fliqs":
        return trained(net, seed, names, None, wanted)[1]
    if cell["method"] == "random":
        rng = np.random.default_rng([seed, LEVELS.index(cell["level"])])
        tried = [
            trained(net, seed, names, draw_samples(cost, names, wanted, rng), wanted, share) for share in (1.0, 0.5)
        ]
        return max(tried, key=lambda one: one[0])[1]
    if cell["method"] == FOUND:
        formats = dict(zip(net.layers, cell["formats"].split(), strict=True))
    else:
        formats = knapsack(net, names, wanted) if cell["method"] == "knapsack" else uniform
    return trained(net, seed, names, formats, wanted)[1]


def main(seeds: int) -> None:
    """Trains, compares, reports."""
    options = digest_of(OneShotOptions().model_dump(mode="json"))[:8]
    cells: list[dict[str, Any]] = [
        {"network": name, "level": level, "seed": seed, "method": method}
        | ({"options": options} if method == "fliqs" else {})
        for seed in range(seeds)
        for name in NETWORKS
        for level in LEVELS
        for method in METHODS
    ]
    cells += [
        {"network": name, "level": "", "seed": seed, "method": DEAREST} for seed in range(seeds) for name in NETWORKS
    ]
    name = f"fliqs-against-{EPOCHS}"
    rows = rows_of(name, cells, work)
    keys = ("network", "level", "seed")
    found = [row for row in rows if row["method"] == "fliqs"]
    again = [{key: row[key] for key in keys} | {"method": FOUND, "formats": row["formats"]} for row in found]
    rows += rows_of(name, again, work)
    path = write_rows("fliqs-against", find_device("local-cpu"), rows)
    print(*summary(rows), sep="\n")
    print(f"rows: {path.relative_to(ROOT)}")


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """By network and cost, the paired differences in points of test accuracy."""
    lines = []
    for name in NETWORKS:
        for level in LEVELS:
            mine = {
                (row["method"], row["seed"]): row
                for row in rows
                if row["network"] == name and row["level"] in (level, "")
            }
            seeds = sorted({seed for _, seed in mine})
            ours = np.array([mine["fliqs", seed]["accuracy"] for seed in seeds])
            cost = np.mean([mine["fliqs", seed]["cost"] for seed in seeds])
            lines.append(f"{name} at the cost of {level}: {ours.mean():.4f} at {cost:.3f} of it")
            for other in (*METHODS[1:], FOUND, DEAREST):
                gaps = 100 * (ours - [mine[other, seed]["accuracy"] for seed in seeds])
                mean, low, high = mean_interval(gaps)
                lines.append(f"  against {other}: {mean:+.2f} points [{low:+.2f}, {high:+.2f}], {verdict(low, high)}")
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
