"""Writes a job as a commented job file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from search.job.target import TargetJob

SCHEMA_FILE = "paretune.schema.json"
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""First line of a job file whose editor finds the schema beside it."""

_TEXT = """\
{schema}
# A YAML language server completes names and marks mistakes, after: paretune schema -o paretune.schema.json
# A search job of Paretune.
#   check it: paretune check {name}
#   run it:   paretune run {name}
version: 1

# For people; commands accept it in place of the job's id.
{job}
# What to compress: a model with samples of its inputs, or a function that returns a task. Paths start from this folder.
{data}{task}
# Where to measure; list them with: paretune devices list
{devices}
# What is better: each a metric, and max or min.{why}
{objectives}
# What must hold, such as "accuracy >= baseline - 0.01" or "size_bytes <= 2000000".
{constraints}
# Techniques and their options; null: those that need no training (runtime, graph, precision).
{space}
# When to stop: at most so many candidates, and so many minutes for everything (null: no limit).
{budget}
# Seed of the strategy's random numbers.
{seed}"""


def job_file_text(target: TargetJob, path: Path) -> str:
    """Returns the text of a job file at ``path``; the paths of its task start from that file's folder."""
    job = target.job.model_dump(mode="json")
    data = {
        "task": _task_from(job["task"], target.folder, path.parent),
        "devices": [row["name"] if (row["threads"], row["batch"]) == (1, 1) else row for row in job["devices"]],
        "objectives": [{key: value for key, value in row.items() if value is not None} for row in job["objectives"]],
        "constraints": job["constraints"],
        "space": job["space"],
        "budget": {key: _short(job["budget"][key]) for key in ("trials", "minutes")},
        "seed": job["seed"],
    }
    note = "# Without data, as here, inputs are random; for your own samples add to the options: data: samples.npz\n"
    parts = {key: _section(key, value) for key, value in data.items()}
    return _TEXT.format(
        schema=SCHEMA_LINE,
        name=path.name,
        job=_section("name", job["name"]),
        data=note * target.has_random_inputs,
        **parts,
        why=f" These are the {target.default_objectives}." if target.default_objectives else "",
    )


def _section(key: str, value: Any) -> str:
    style = None if isinstance(value, dict | list) else False
    text: str = yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=style, allow_unicode=True, width=110)
    return text


def _short(number: float | None) -> float | None:
    """Returns a number without a fraction that says nothing: 10 rather than 10.0."""
    return int(number) if number is not None and number == int(number) else number


def _task_from(task: dict[str, Any], folder: Path, place: Path) -> dict[str, Any]:
    """Returns the task section with paths that start from ``place`` instead of ``folder``."""

    def moved(path: str) -> str:
        if Path(path).is_absolute() or folder.resolve() == place.resolve():
            return path
        return os.path.relpath(folder.resolve() / path, place.resolve())

    name, _, function = task["name"].rpartition(":")
    if name.endswith(".py"):
        path = moved(name)
        return {"name": f"{path if path.startswith(('.', '/')) else f'./{path}'}:{function}"}
    options = {key: moved(task["options"][key]) for key in ("model", "data") if task["options"].get(key)}
    return {"name": task["name"], **({"options": options} if options else {})}
