"""Cells of a benchmark that is interrupted and goes on: each is worked out once, side by side on all cores."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from hwprofiles.probe import usable_cores
from search.folders import cache_folder

Cell = Mapping[str, Any]
Row = dict[str, Any]


def rows_of(name: str, cells: Sequence[Cell], work: Callable[[Cell], Row]) -> list[Row]:
    """A row a cell, in the cells' order: the cell's own keys and what ``work`` adds.

    Finished ones are kept in the cache under ``name``, which says all that they depend on beside the cell. ``work`` is
    a module's function; it runs in processes of one thread each.
    """
    path = cache_folder() / "benchmarks" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if path.exists():
        known = {json.dumps(one["cell"]): one["row"] for one in map(json.loads, path.read_text().splitlines())}
    left = [cell for cell in cells if json.dumps(cell) not in known]
    with ProcessPoolExecutor(len(usable_cores()), get_context("spawn"), _one_thread) as pool, path.open("a") as file:
        running = {pool.submit(work, cell): cell for cell in left}
        for number, future in enumerate(as_completed(running), 1):
            cell = running[future]
            known[json.dumps(cell)] = future.result()
            file.write(json.dumps({"cell": cell, "row": future.result()}) + "\n")
            file.flush()
            print(f"\r{name}: {number} of {len(left)}", end="", file=sys.stderr, flush=True)
    return [{**cell, **known[json.dumps(cell)]} for cell in cells]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
