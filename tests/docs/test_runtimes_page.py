"""docs/runtimes.md says of each function that GPUs are for whether it has ever met one: none is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluators.runtimes import RUNTIMES
from evaluators.runtimes.onnxruntime_providers import MOST_SHAPE_VALUES
from evaluators.runtimes.tensorrt_engine import ENGINE_SUFFIXES
from evaluators.runtimes.trtexec import RUNS
from hwprofiles.trtexec import PLACES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "runtimes.md").read_text()
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.partition("### What has never run on a GPU")[2].splitlines()
    if line.startswith("| `")
]
FILES = [
    str(path.relative_to(ROOT))
    for folder, names in (
        ("hwprofiles", ("cuda", "gpus", "local_gpu", "trtexec")),
        ("evaluators/measuring", ("energy",)),
        ("evaluators/health", ("gpu",)),
        ("evaluators/runtimes", ("cuda", "engine_store", "tensorrt*", "trtexec", "onnxruntime_providers")),
    )
    for name in names
    for path in sorted((ROOT / folder).glob(f"{name}.py"))
]


def functions(node: ast.AST, within: tuple[str, ...] = ()) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            inner = (*within, child.name)
            if isinstance(child, ast.FunctionDef):
                yield ".".join(inner)
        yield from functions(child, inner)


def test_every_file_has_a_row() -> None:
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
def test_every_function_is_in_one_column(file: str) -> None:
    (row,) = [row for row in ROWS if row[0] == f"`{file}`"]
    never, anywhere = (re.findall(r"`([^`]+)`", cell) for cell in row[1:])
    assert sorted(never + anywhere) == sorted(functions(ast.parse((ROOT / file).read_text())))


def test_runtimes_and_hints() -> None:
    for name, runtime in RUNTIMES.items():
        if name != "null":
            rows = " ".join(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
            assert rows, name
            assert all(f"`{hint.removeprefix('gpu-')}`" in rows for hint in runtime.hints if hint)


def test_figures() -> None:
    assert f"at most {MOST_SHAPE_VALUES} integers" in PAGE
    assert f"times {RUNS} inferences" in PAGE
    assert PLACES[0] in PAGE
    assert all(f"`{suffix}`" in PAGE for suffix in ENGINE_SUFFIXES)
