"""Every node runs where it should, or the file is refused with the nodes named: no silent fallback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx_builder import Builder

from evaluators.measuring import process
from evaluators.runtimes import NullRuntime, OnnxRuntime
from evaluators.runtimes.onnxruntime_nodes import check_assignment
from hwprofiles import find_device
from hwprofiles.errors import BuildFailed, UnsupportedOp

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class Node:
    name: str
    op_type: str


@dataclass(frozen=True)
class Part:
    ep_name: str
    nodes: tuple[Node, ...]

    def get_nodes(self) -> tuple[Node, ...]:
        return self.nodes


class Assigned:
    """A session whose nodes were assigned so."""

    def __init__(self, *parts: Part) -> None:
        self.get_provider_graph_assignment_info = lambda: list(parts)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    builder = Builder()
    builder.op("Relu", builder.op("MatMul", builder.input("x", ["n", 8]), builder.weight(8, 8)), out="y")
    builder.output("y", shape=["n", 8])
    onnx.save(builder.model(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


class TestOnnxRuntime:
    def test_all_on_the_provider(self) -> None:
        check_assignment(Assigned(Part(CPU, (Node("a", "Conv"), Node("b", "Relu")))), {CPU}, "model.onnx")

    def test_those_that_fell_back_are_named(self) -> None:
        parts = Part(CUDA, (Node("a", "Conv"),)), Part(CPU, (Node("/b/Topk", "TopK"),)), Part(CPU, (Node("c", "Loop"),))
        with pytest.raises(UnsupportedOp) as caught:
            check_assignment(Assigned(*parts), {CUDA}, "model.onnx")
        for said in ("model.onnx", "2 nodes", CPU, CUDA, "/b/Topk (TopK)", "c (Loop)"):
            assert said in caught.value.message
        assert caught.value.hint
        check_assignment(Assigned(*parts), {CUDA, CPU}, "model.onnx")

    def test_many_are_not_all_named(self) -> None:
        many = Part(CPU, tuple(Node(f"node{number}", "Loop") for number in range(500)))
        with pytest.raises(UnsupportedOp, match="500 nodes") as caught:
            check_assignment(Assigned(many), {CUDA}, "model.onnx")
        assert len(caught.value.message) < 400

    def test_what_the_runtime_says_of_a_real_file(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[str, str]] = []

        def told(session: Any, providers: Any, name: str) -> None:
            parts = session.get_provider_graph_assignment_info()
            seen.extend((part.ep_name, node.op_type) for part in parts for node in part.get_nodes())

        OnnxRuntime().check_placement(model)
        monkeypatch.setattr("evaluators.runtimes.onnxruntime_providers.check_assignment", told)
        OnnxRuntime().check_placement(model)
        assert seen == [(CPU, "MatMul"), (CPU, "Relu")]


class TestMeasuring:
    @pytest.fixture(autouse=True)
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        asked: list[Path] = []
        monkeypatch.setattr(NullRuntime, "check_placement", lambda self, file, *, threads=1: asked.append(file))
        monkeypatch.setattr(process, "_placed", set())
        return asked

    def test_it_is_asserted_once_a_file(self, asked: list[Path], model: Path, tmp_path: Path) -> None:
        profile = find_device("dry-run")
        other = tmp_path / "other.onnx"
        other.write_bytes(model.read_bytes())
        for _ in range(3):
            process._openers(profile, "null", model, other, 1)
        assert asked == [model, other]
        other.write_bytes(model.read_bytes() + b"\0")
        process._openers(profile, "null", model, other, 1)
        assert asked == [model, other, other]

    def test_what_strays_is_not_measured(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def strays(self: object, file: Path, *, threads: int = 1) -> None:
            raise UnsupportedOp(f"{file.name}: 1 node runs elsewhere")

        monkeypatch.setattr(NullRuntime, "check_placement", strays)
        for _ in range(2):
            with pytest.raises(UnsupportedOp):
                process._openers(find_device("dry-run"), "null", model, model, 1)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(BuildFailed):
            OnnxRuntime().check_placement(tmp_path / "none.onnx")
