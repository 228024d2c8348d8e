"""N2N against chance, Bayesian optimisation and evolution: the same students, the same reward, the same seconds.

    python benchmarks/students.py [SEEDS] [TEACHER...]

Each method searches one teacher's students for so many seconds of one core, at most 200 different students, each with
a short training. The methods beside N2N are told N2N's reward as their only objective. Then the best three students
with at least 15 times fewer parameters are trained to the end; the one with the best validation accuracy is judged on
the test split. To hold: it loses at most one point, for each teacher and seed. *Won* is said where the 95 % interval of
the paired difference of the best rewards excludes 0. Goes on where it was interrupted. Hours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from cells import Cell, Row, rows_of
from mean_interval import mean_interval, verdict
from rows import write_rows
from student_teachers import TEACHERS, Student, Teacher, teacher

from hwprofiles import find_device
from search.fronts.objectives import Objective
from search.options import validate_options
from search.strategies import STRATEGIES, Result, StrategyContext

METHODS: Mapping[str, Mapping[str, Any]] = {"n2n": {}, "random": {"batch": 8}, "bayesian": {}, "evolution": {}}
SECONDS = {"digits": 300.0, "resnet18": 450.0, "resnet34": 600.0}
ROLLOUTS = 200
STEPS, FINAL_STEPS = 60, 600
FEWER, LOST = 15, 0.01


def search(method: str, net: Teacher, seed: int, seconds: float) -> list[tuple[dict[str, str], Student | None]]:
    """Searches for students; returns each different one with its decisions, in the order of their proposal."""
    context = StrategyContext(net.space, _objectives(method), seed=seed, encodings=net.technique.encodings())
    kind = STRATEGIES[method]
    strategy = kind(context, validate_options(kind.Options, dict(METHODS[method]), "options"))
    ends = time.process_time() + seconds
    trained: dict[str, tuple[dict[str, str], Student | None]] = {}
    while time.process_time() < ends and len(trained) < ROLLOUTS:
        results = []
        for _ in range(strategy.batch):
            candidate = strategy.ask()
            values = dict(net.technique.effective(candidate.decisions))
            digest = net.space.candidate(values).digest
            if digest not in trained:
                trained[digest] = values, net.train(values, STEPS)
            results.append(Result(candidate, _gains(method, net, trained[digest][1])))
        strategy.tell(results)
    return list(trained.values())[:ROLLOUTS]


def _objectives(method: str) -> tuple[Objective, ...]:
    accuracy = Objective("accuracy", "max")
    return (accuracy, Objective("parameters", "min")) if method == "n2n" else (accuracy,)


def _gains(method: str, net: Teacher, student: Student | None) -> tuple[float, ...] | None:
    if student is None:
        return None
    return (student.accuracy, -student.parameters) if method == "n2n" else (net.reward(student),)


def work(cell: Cell) -> Row:
    """Runs one method on one teacher."""
    net = teacher(cell["teacher"], cell["seed"])
    began = time.process_time()
    proposed = search(cell["method"], net, cell["seed"], cell["seconds"])
    spent = time.process_time() - began
    rewards = [net.reward(student) for _, student in proposed]
    row = {
        "seconds_spent": round(spent, 1), "rollouts": len(proposed), "best_reward": round(max(rewards), 5),
        "curve": " ".join(f"{max(rewards[: at + 1]):.4f}" for at in range(9, len(rewards), 10)),
        "mean_curve": " ".join(f"{np.mean(rewards[at - 9 : at + 1]):.4f}" for at in range(9, len(rewards), 10)),
        "teacher_parameters": net.parameters, "teacher_test": round(net.score(net.technique.structure, "test"), 5),
    }  # fmt: skip
    small = {s.parameters: (v, s) for v, s in proposed if s is not None and s.parameters * FEWER <= net.parameters}
    best = sorted(small.values(), key=lambda pair: pair[1].accuracy)[-3:]
    final = [student for values, _ in best if (student := net.train(values, FINAL_STEPS)) is not None]
    chosen = max(final, key=lambda student: student.accuracy, default=None)
    if chosen is not None:
        test = net.score(chosen.module, "test")
        row |= {"parameters": chosen.parameters, "fewer": round(net.parameters / chosen.parameters, 2)}
        row |= {"test": round(test, 5), "lost": round(row["teacher_test"] - test, 5)}
    else:
        row |= {"parameters": "", "fewer": "", "test": "", "lost": ""}
    return row


def main(seeds: int, names: Sequence[str]) -> None:
    """Searches, compares, reports."""
    cells: list[dict[str, Any]] = [
        {"teacher": name, "seed": seed, "method": method, "seconds": SECONDS[name], "options": dict(METHODS[method])}
        for name in names
        for seed in range(seeds)
        for method in METHODS
    ]
    rows = [{**row, "options": str(row["options"])} for row in rows_of("students", cells, work)]
    path = write_rows("students", find_device("local-cpu"), rows)
    print(*summary(rows, names), sep="\n")
    print(f"rows: {path.relative_to(ROOT)}")


def summary(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Says for each teacher what its students lose, and how N2N does beside the others."""
    lines = []
    for name in names:
        mine = {(row["method"], row["seed"]): row for row in rows if row["teacher"] == name}
        seeds = sorted({seed for _, seed in mine})
        for method in METHODS:
            lost = [mine[method, seed]["lost"] for seed in seeds]
            holds = sum(value != "" and value <= LOST for value in lost)
            text = ", ".join("none" if value == "" else f"{100 * value:+.2f}" for value in lost)
            lines.append(
                f"{name}, {method}: points lost with {FEWER}x fewer parameters: {text}; {holds} of {len(lost)}"
            )
        for method in list(METHODS)[1:]:
            gaps = [mine["n2n", s]["best_reward"] - mine[method, s]["best_reward"] for s in seeds]
            mean, low, high = mean_interval(gaps)
            lines.append(f"  n2n against {method}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], {verdict(low, high)}")
    return lines


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 5, given[1:] or list(TEACHERS))
