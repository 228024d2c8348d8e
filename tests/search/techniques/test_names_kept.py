"""The inputs and outputs of a user's model keep their names and order in every candidate and every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.model import load_model, save_model
from evaluators.graphs.widening import widen_to_float32
from evaluators.runtimes import runtime_of
from evaluators.tensors import Array
from hwprofiles.errors import DeviceUnavailable
from search.options import validate_options
from search.tasks import OnnxTask, TorchTask
from search.tasks.base import Split
from search.techniques import TECHNIQUES, Draft, ModuleTechnique, Offer, Technique
from search.testing.techniques import RECIPE, create_subject, create_variants

INPUTS = ("image:0", "side input/ü")
OUTPUTS = ("Identity:0", "softmax", "passed", "image:0_quantized")
"""Names as other tools write them; the last one looks like a tensor that quantising adds."""


def odd_model(kind: int = onnx.TensorProto.FLOAT) -> onnx.ModelProto:
    """Two inputs, four outputs: two are the same tensor, one is an input."""
    rng, number = np.random.default_rng(0), helper.tensor_dtype_to_np_dtype(kind)
    shapes = {"conv_w": (16, 3, 3, 3), "w1": (16, 32), "w2": (64, 32)}
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) * 0.2).astype(number), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", [INPUTS[0], "conv_w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "w1"], ["m1"], "first"),
        helper.make_node("MatMul", [INPUTS[1], "w2"], ["m2"], "second"),
        helper.make_node("Add", ["m1", "m2"], ["sum"], "add"),
        helper.make_node("Identity", ["sum"], [OUTPUTS[0]], "same"),
        helper.make_node("Softmax", ["sum"], [OUTPUTS[1]], "softmax"),
        helper.make_node("Identity", [INPUTS[1]], [OUTPUTS[2]], "pass"),
        helper.make_node("Identity", ["sum"], [OUTPUTS[3]], "again"),
    ]
    value = helper.make_tensor_value_info
    sizes = dict(zip(OUTPUTS, (32, 32, 64, 32), strict=True))
    graph = helper.make_graph(
        nodes, "odd", [value(INPUTS[0], kind, ["n", 3, 8, 8]), value(INPUTS[1], kind, ["n", 64])],
        [value(name, kind, ["n", size]) for name, size in sizes.items()], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feed(rows: int = 4) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    arrays = rng.standard_normal((rows, 3, 8, 8)), rng.standard_normal((rows, 64))
    return {name: values.astype(np.float32) for name, values in zip(INPUTS, arrays, strict=True)}


def names(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    return [value.name for value in model.graph.input], [value.name for value in model.graph.output]


def every_value(technique: Technique) -> list[dict[str, str]]:
    """Each value wherever it is possible."""
    decisions = technique.offer(None, Offer()).decisions
    values = dict.fromkeys(value for decision in decisions for value in decision.choices)
    return [{d.name: value if value in d.choices else d.choices[0] for d in decisions} for value in values]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The odd model as it is, and in each precision."""
    folder = tmp_path_factory.mktemp("built")
    kind = TECHNIQUES["precision"]
    subject = create_subject(odd_model(), [feed()], folder, wanted=frozenset({"size_bytes"}))
    technique = kind(subject, validate_options(kind.Options, {}, "space"))
    paths = []
    for number, values in enumerate(every_value(technique)):
        paths.append(folder / f"{number}.onnx")
        save_model(technique.apply(Draft(subject.model, subject.groups), values).model, paths[-1])
    return paths


def test_in_every_precision(built: list[Path]) -> None:
    assert len({path.read_bytes() for path in built}) == len(built) > 3
    for path in built:
        assert names(load_model(path)) == ([*INPUTS], [*OUTPUTS])


@pytest.mark.parametrize("spec", ["onnxruntime", "openvino:f32", "openvino:bf16"])
def test_in_every_runtime(built: list[Path], spec: str) -> None:
    try:
        runtime_of(spec).version()
    except DeviceUnavailable:
        pytest.skip("not installed")
    ran = 0
    for path in built:
        try:
            session = runtime_of(spec).open(path)
        except Exception:  # noqa: BLE001 - not every runtime executes every format
            continue
        found = session.run(feed())
        assert ([one.name for one in session.inputs], [*found]) == ([*INPUTS], [*OUTPUTS])
        np.testing.assert_allclose(found["passed"], feed()[INPUTS[1]], rtol=0.02, atol=0.02)
        session.close()
        ran += 1
    assert ran


def test_in_files_of_half_precision(tmp_path: Path) -> None:
    """Widened to float32, and through the clean-up."""
    onnx.save(odd_model(onnx.TensorProto.FLOAT16), tmp_path / "half.onnx")
    model = widen_to_float32(load_model(tmp_path / "half.onnx"))
    assert names(model) == names(clean_graph(model)) == ([*INPUTS], [*OUTPUTS])


def test_of_an_onnx_task(tmp_path: Path) -> None:
    onnx.save(odd_model(), tmp_path / "odd.onnx")
    np.savez(tmp_path / "odd.npz", **feed(60))  # type: ignore[arg-type]
    options = {"model": "odd.onnx", "data": "odd.npz"}
    OnnxTask.open(OnnxTask.Options.model_validate(options), tmp_path).export(tmp_path / "out.onnx")
    assert names(load_model(tmp_path / "out.onnx")) == ([*INPUTS], [*OUTPUTS])


class Answer(NamedTuple):
    logits: torch.Tensor
    mid: torch.Tensor


class Net(torch.nn.Module):
    """``kind`` is how it returns its two outputs."""

    def __init__(self, kind: str = "named") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.first, self.second, self.head = (torch.nn.Linear(*size) for size in ((16, 32), (32, 32), (32, 5)))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> Any:
        mid = torch.relu(self.first(tokens * mask))
        logits = self.head(torch.relu(self.second(mid)))
        return {"dict": {"logits": logits, "mid": mid}, "named": Answer(logits, mid), "tuple": (logits, mid),
                "nested": [logits, (mid,)], "twice": (logits, logits), "single": logits}[self.kind]  # fmt: skip


def task(kind: str, arrays: tuple[str, ...] = ("tokens", "mask"), **more: Any) -> TorchTask:
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal((32, 16)).astype(np.float32) for name in arrays}
    splits: tuple[Split, ...] = ("calibration", "validation", "test")
    labels = {split: rng.integers(0, 5, 32) for split in splits}
    return TorchTask(Net(kind).eval(), dict.fromkeys(splits, values), labels=labels, **more)


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("single", ["output"]),
        ("dict", ["logits", "mid"]),
        ("named", ["logits", "mid"]),
        ("tuple", ["output", "output_1"]),
        ("nested", ["output", "output_1"]),
        ("twice", ["output", "output_1"]),
    ],
)
def test_of_a_module(tmp_path: Path, kind: str, outputs: list[str]) -> None:
    task(kind).export(tmp_path / "net.onnx")
    assert names(load_model(tmp_path / "net.onnx")) == (["tokens", "mask"], outputs)


def test_of_a_module_that_the_user_named(tmp_path: Path) -> None:
    """Arrays may be called otherwise than the arguments: they name the inputs, and the user is told."""
    named = task("tuple", ("a:0", "output"), outputs=("scores", "middle"))
    named.export(tmp_path / "net.onnx")
    assert names(load_model(tmp_path / "net.onnx")) == (["a:0", "output"], ["scores", "middle"])
    assert "'a:0', like the task's array; forward calls it 'tokens'" in named.notes[0]
    assert named.digest != task("tuple", ("a:0", "output")).digest
    assert task("tuple").notes == ()


@pytest.mark.parametrize(
    ("technique", "options"),
    [
        ("pruning", {"ratios": [0.5], "round": 2, "criterion": "l1"}),
        ("sparsity", {"choices": ["0.5"]}),
        ("formats", {"choices": ["int8", "int4"]}),
    ],
)
def test_in_every_changed_module(tmp_path: Path, technique: str, options: dict[str, Any]) -> None:
    source, kind = task("tuple", outputs=("scores:0", "middle")), TECHNIQUES[technique]
    assert issubclass(kind, ModuleTechnique)
    source.export(tmp_path / "net.onnx")
    sample = {name: values[:1] for name, values in source.inputs("validation").items()}
    subject = create_subject(
        load_model(tmp_path / "net.onnx"), [sample], tmp_path, task=source, recipe=RECIPE,
        wanted=frozenset({"size_bytes"}),
    )  # fmt: skip
    made = kind(subject, validate_options(kind.Options, options, "space"))
    changed = 0
    for values in every_value(made):
        draft = create_variants(made, RECIPE).draft(values)
        if draft is not None:
            model = made.apply(draft, values).model
            assert names(model) == (["tokens", "mask"], ["scores:0", "middle"])
            changed += 1
    assert changed
