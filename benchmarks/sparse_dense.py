"""Large and sparse, or small and dense? Zhu and Gupta's question (2017), asked of the digits network.

    python benchmarks/sparse_dense.py [WIDTH [SEEDS]]

A network of WIDTH is trained, then made sparse gradually while it trains on; dense ones of about as many weights are
trained from the start for as many epochs in all. Writes a row a network and a plot of accuracy against weights that are
not zero. Reports the difference at each size with its 95 % interval over seeds. The first layer stays dense, as it did
there. ``trained_on`` says where the networks were trained: the first epochs, the task's own, always on the processor.
Goes on where it was interrupted. About half an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from benchmarks_path import ROOT
from cells import Cell, Row, rows_of
from mean_interval import mean_interval
from networks import answers, trained_on
from rows import write_rows
from torch import nn

from hwprofiles import find_device
from search.tasks.digits import Digits, DigitsOptions
from search.training.epochs import steps_of
from search.training.recipe import Recipe
from search.training.recover import recover
from search.training.schedules import Schedule
from search.training.sparsifier import Sparsifier

SPARSITIES = (0.5, 0.75, 0.875, 0.9375, 0.96875, 0.984375)
EPOCHS = 24
RECIPE = {"learning_rate": 2e-3, "losses": {"task": {}}, "patience": None}


def test_accuracy(module: nn.Module, task: Digits) -> float:
    """On the test split, which neither training nor its choice of weights saw."""
    outputs = answers(module, task.inputs("test")["image"])
    return float(task.score({"logits": outputs}, "test")["accuracy"].mean())


def nonzero(module: nn.Module) -> int:
    """Weights of convolutions and linear layers that are not zero."""
    return sum(int(part.weight.count_nonzero()) for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))


def sparse(task: Digits, share: float, seed: int) -> nn.Module:
    """The trained network, made sparse by the cubic schedule over the first half of the epochs."""
    module, data = task.module(), task.training()
    recipe = Recipe(epochs=EPOCHS, seed=seed, **RECIPE)
    steps = steps_of(data, recipe)
    schedule = Schedule("gradual", final=share, end=steps // 2, every=10)
    _, *others = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return recover(module, None, data, recipe, constraint=Sparsifier(module, schedule, layers=others)).module


def dense(task: Digits, seed: int) -> nn.Module:
    """A small network after as many epochs in all."""
    return recover(task.module(), None, task.training(), Recipe(epochs=EPOCHS, seed=seed, **RECIPE)).module


def work(cell: Cell) -> Row:
    """One network: the large one made sparse, or a dense one of its size."""
    width, seed, share = cell["width"], cell["seed"], cell["sparsity"]
    large = Digits(DigitsOptions(width=width, seed=seed))
    if cell["network"] == "sparse":
        module = sparse(large, share, seed)
    else:
        module = dense(Digits(DigitsOptions(width=max(4, round(width * (1 - share) ** 0.5)), seed=seed)), seed)
    found = {"weights": nonzero(module), "accuracy": round(test_accuracy(module, large), 5)}
    return found | {"trained_on": trained_on()}


def main(width: int, seeds: int) -> None:
    """Trains, evaluates, draws."""
    cells: list[dict[str, Any]] = [
        {"width": width, "seed": seed, "sparsity": share, "network": network}
        for seed in range(seeds)
        for share in (0.0, *SPARSITIES)
        for network in (("dense", "sparse") if share else ("dense",))
    ]
    rows = rows_of(f"sparse-dense-{EPOCHS}", cells, work)
    path = write_rows(f"sparse-dense-{width}", find_device("local-cpu"), rows)
    draw(rows, path.with_suffix(".png"))
    print(*summary(rows), sep="\n")
    print(f"rows: {path.relative_to(ROOT)}")


def draw(rows: Sequence[Mapping[str, Any]], path: Any) -> None:
    """Accuracy against weights, a line a kind, its band the range over seeds."""
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for kind, label in (("sparse", "large, made sparse"), ("dense", "small, dense")):
        mine = [row for row in rows if row["network"] == kind]
        sizes = sorted({row["sparsity"] for row in mine})
        at = [[row for row in mine if row["sparsity"] == size] for size in sizes]
        x = [np.mean([row["weights"] for row in some]) for some in at]
        y = np.array([[100 * row["accuracy"] for row in some] for some in at])
        axes.plot(x, y.mean(1), "o-", label=label)
        axes.fill_between(x, y.min(1), y.max(1), alpha=0.2)
    axes.set(xscale="log", xlabel="weights that are not zero", ylabel="accuracy on the test split [%]")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """By sparsity, how much better the large sparse network is."""
    known = {(row["network"], row["sparsity"], row["seed"]): row["accuracy"] for row in rows}
    lines = []
    for share in SPARSITIES:
        seeds = sorted({seed for _, at, seed in known if at == share})
        gaps = [100 * (known["sparse", share, seed] - known["dense", share, seed]) for seed in seeds]
        mean, low, high = mean_interval(gaps)
        word = "better" if low > 0 else "worse" if high < 0 else "tied"
        lines.append(f"{share:.1%} sparse: {mean:+.2f} points [{low:+.2f}, {high:+.2f}], {word}")
    return lines


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(64, 3)[len(given) :])
