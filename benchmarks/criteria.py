"""Which channels can go? Half of them by each criterion, without any training after, on the digits network.

    python benchmarks/criteria.py [WIDTH]

For five seeds (teacher, data and criterion) each criterion removes half of the channels: of each group alone, the
others whole (``group``), and of all groups (``group`` is ``all``). The figure is accuracy on the validation split.
Random scores, the control, are drawn four times. ``bn_scale`` is also asked about a network that was trained for sparse
scales first, beside random scores for the same one. To hold: every criterion beats random, with the 95 % interval of
the paired difference over seeds, or its page says where it does not. ``trained_on`` says where a row's network was
trained: a teacher always on the processor, sparse scales on the GPU where there is one. A quarter of an hour.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks_path import ROOT
from mean_interval import mean_interval
from networks import answers, trained_on
from rows import write_rows
from torch import nn

from hwprofiles import find_device
from hwprofiles.probe import instruction_sets
from search.folders import cache_folder
from search.pruning import ChannelGroup, best_channels, channel_groups, prune
from search.pruning.criteria import CRITERIA, Batch
from search.pruning.slimming import train_slim
from search.tasks.digits import Digits, DigitsOptions

SEEDS, DRAWS, SAMPLES = 5, 4, 256
SLIMMING = 1e-4
Scores = Mapping[str, Any]


def accuracy(module: nn.Module, task: Digits) -> float:
    """On the validation split."""
    samples = task.training().validation
    with torch.autocast("cpu", torch.bfloat16, enabled="amx_bf16" in instruction_sets()):
        found = answers(module, samples.inputs[0]).argmax(1)
    return float((found == samples.labels).mean())


def halves(module: nn.Module, groups: Sequence[ChannelGroup], scores: Scores, task: Digits) -> dict[str, float]:
    """Accuracy without the worse half of each group alone, and of all of them."""
    kept = {group: best_channels(group, scores[group.name], group.channels // 2) for group in groups}
    found = {group.name: accuracy(prune(module, {group: kept[group]}), task) for group in groups}
    return found | {"all": accuracy(prune(module, kept), task)}


def batches(task: Digits, seed: int) -> list[Batch]:
    """Calibration samples with their labels."""
    samples = task.training().epoch(np.random.default_rng(seed))
    labels = torch.tensor(samples.labels)
    parts = range(0, SAMPLES, 64)
    return [Batch((torch.from_numpy(samples.inputs[0][at : at + 64]),), labels[at : at + 64]) for at in parts]


def judged(
    module: nn.Module, task: Digits, seed: int, suffix: str, criteria: Sequence[str] = tuple(CRITERIA)
) -> list[dict[str, Any]]:
    """One row for each criterion and group."""
    groups = channel_groups(module, (torch.from_numpy(task.inputs("calibration")["image"][:2]),))
    data = batches(task, seed)
    rows = []
    for name in criteria:
        kind = CRITERIA[name]
        draws = DRAWS if name == "random" else 1
        found: defaultdict[str, list[float]] = defaultdict(list)
        for draw in range(draws):
            criterion = kind(seed=seed * DRAWS + draw)
            for group, figure in halves(module, groups, criterion.scores(module, groups, data), task).items():
                found[group].append(figure)
        rows += [
            {"teacher": suffix, "seed": seed, "criterion": name, "group": group, "accuracy": round(np.mean(figures), 5)}
            for group, figures in found.items()
        ]
    return rows


def rows_of(width: int, seed: int) -> list[dict[str, Any]]:
    """All rows of one seed."""
    task = Digits(DigitsOptions(width=width, seed=seed))
    plain = task.module()
    slim = train_slim(
        task.module(), task.training(), weight=SLIMMING, epochs=5, seed=seed,
        folder=cache_folder() / "structures",
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for module, suffix, criteria, place in (
        (plain, "plain", tuple(CRITERIA), "cpu"), (slim, "slimmed", ("bn_scale", "random"), trained_on()),
    ):  # fmt: skip
        whole = {"teacher": suffix, "seed": seed, "criterion": "none", "group": "all"}
        found = [whole | {"accuracy": round(accuracy(module, task), 5)}, *judged(module, task, seed, suffix, criteria)]
        rows += [{"width": width, **row, "trained_on": place} for row in found]
    return rows


def main(width: int) -> None:
    """Prunes, evaluates and reports."""
    rows: list[dict[str, Any]] = []
    for seed in range(SEEDS):
        rows += rows_of(width, seed)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    path = write_rows(f"criteria-{width}", find_device("local-cpu"), rows)
    print(*summary(rows), sep="\n")
    print(f"rows: {Path(path).relative_to(ROOT)}")


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """By teacher and criterion, how much better than random: for all groups, and for one group on average."""
    lines = []
    for teacher in ("plain", "slimmed"):
        figures: defaultdict[tuple[str, bool], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row["teacher"] == teacher:
                figures[row["criterion"], row["group"] == "all"][row["seed"]].append(row["accuracy"])
        for name in (one for one in CRITERIA if one != "random" and (one, True) in figures):
            said = []
            for everything, what in ((True, "all groups"), (False, "one group")):
                ours, control = figures[name, everything], figures["random", everything]
                gaps = [float(np.mean(ours[seed]) - np.mean(control[seed])) for seed in sorted(ours)]
                mean, low, high = mean_interval(gaps)
                verdict = "beats random" if low > 0 else "does NOT beat random"
                level = np.mean([np.mean(values) for values in ours.values()])
                said.append(f"{what} {level:.3f}, {mean:+.3f} [{low:+.3f}, {high:+.3f}] {verdict}")
            lines.append(f"{teacher:8} {name:15} " + "; ".join(said))
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
