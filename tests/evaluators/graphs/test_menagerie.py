"""Every kind of model, in every precision and in mixtures, against its fp32 self."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx_menagerie import ANIMALS, Animal

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.graph import Graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import serialize
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quantize.calibration import Ranges, calibrate
from evaluators.quantize.graph_edit import GraphEdit, Source
from evaluators.quantize.weights import Weights
from hwprofiles.errors import BuildFailed
from hwprofiles.precision import Precision

Array = NDArray[np.generic]
Case = tuple[onnx.ModelProto, tuple[LayerGroup, ...], Ranges]

ANIMAL = pytest.mark.parametrize("animal", ANIMALS.values(), ids=ANIMALS)
QUANTIZED = [precision for precision in Precision if precision is not Precision.FP32]
LIMITS = {Precision.INT4_WEIGHT: 0.9}

# What the runtime executes for a quantised layer; convolutions transposed have no integer kernel on CPUs.
INTEGER_OPS = ("QLinearConv", "product", "DynamicQuantizeLSTM", "QAttention", "MatMulNBits")
PRODUCTS = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm", "MatMulInteger")


@functools.cache
def case_of(name: str) -> Case:
    animal = ANIMALS[name]
    model = clean_graph(animal.build())
    groups = layer_groups(model, {key: value.shape for key, value in animal.feeds(1)[0].items()})
    return model, groups, calibrate(model, animal.feeds(), activation_tensors(model, groups))


def cosine(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The lowest over the float outputs."""
    values = []
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert found[name].dtype == value.dtype
        if np.issubdtype(value.dtype, np.floating):
            a, b = found[name].astype(np.float64).ravel(), value.astype(np.float64).ravel()
            values.append(float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)))
    return min(values)


def expected_ops(model: onnx.ModelProto, groups: Sequence[LayerGroup], chosen: Mapping[str, Precision]) -> Counter[str]:
    kinds = {node.name: node.op_type for node in model.graph.node}
    counts: Counter[str] = Counter()
    for group in groups:
        precision = chosen.get(group.name, Precision.FP32)
        for name in group.nodes:
            kind = kinds[name]
            if precision is Precision.INT8 and kind == "Conv":
                counts["QLinearConv"] += 1
            elif precision in (Precision.INT8, Precision.INT8_DYNAMIC) and kind in ("MatMul", "Gemm"):
                counts["product"] += 1
            elif precision is Precision.INT8_DYNAMIC:
                counts[{"LSTM": "DynamicQuantizeLSTM", "Attention": "QAttention"}[kind]] += 1
            elif precision in (Precision.INT8_WEIGHT, Precision.INT4_WEIGHT) and kind != "Gather":
                counts["MatMulNBits"] += 1
    return counts


def check(
    animal: Animal, case: Case, chosen: Mapping[str, Precision], executed_ops: Callable[..., Counter[str]]
) -> None:
    model, groups, ranges = case
    before = model.SerializeToString()
    built = Quantizer(model, groups, ranges).apply(chosen)
    assert model.SerializeToString() == before
    executed = executed_ops(built)
    executed["product"] = sum(executed[kind] for kind in PRODUCTS)
    already = executed_ops(model)
    already["product"] = sum(already[kind] for kind in PRODUCTS)
    expected = expected_ops(model, groups, chosen)
    for kind in INTEGER_OPS:
        assert executed[kind] - already[kind] == expected[kind], (kind, executed)
    limit = min([LIMITS.get(value, 0.95) for value in chosen.values()], default=0.95)
    for feed in animal.feeds(2, seed=2):
        assert cosine(run_once(built, feed), run_once(model, feed)) >= limit


@ANIMAL
def test_preparing_changes_no_output(animal: Animal) -> None:
    source = animal.build()
    before = source.SerializeToString()
    model = clean_graph(source)
    assert source.SerializeToString() == before
    assert clean_graph(model).SerializeToString() == model.SerializeToString()
    for feed in animal.feeds(2):
        expected, found = run_once(source, feed), run_once(model, feed)
        assert list(found) == list(expected)
        for name, value in expected.items():
            tolerance = 1e-2 if value.dtype == np.float16 else 1e-5
            np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance)


@ANIMAL
def test_preparing_hides_nothing_from_the_runtime(animal: Animal, executed_ops: Callable[..., Counter[str]]) -> None:
    """The runtime recognises as many patterns in a prepared model as in its source: the baseline is not made slower."""
    source, model = executed_ops(animal.build()), executed_ops(clean_graph(animal.build()))
    assert sum(model.values()) - model["Flatten"] <= sum(source.values()), (source, model)  # a pool's axes may go
    for kind in ("LayerNormalization", "SkipLayerNormalization", "BiasGelu", "Gelu", "FusedConv"):
        assert model[kind] >= source[kind], kind


@ANIMAL
def test_layers_are_found(animal: Animal) -> None:
    model, groups, _ = case_of(animal.name)
    assert len(groups) >= animal.layers
    assert bool(groups) == bool(animal.layers)
    nodes = [name for group in groups for name in group.nodes]
    assert len(nodes) == len(set(nodes))
    assert set(nodes) <= {node.name for node in model.graph.node}
    assert len({group.name for group in groups}) == len(groups)


@ANIMAL
@pytest.mark.parametrize("precision", QUANTIZED)
def test_uniform_precision(animal: Animal, precision: Precision, executed_ops: Callable[..., Counter[str]]) -> None:
    case = case_of(animal.name)
    chosen = {group.name: precision for group in case[1] if precision in group.precisions}
    if not chosen:
        pytest.skip("no layer has this precision")
    check(animal, case, chosen, executed_ops)


@ANIMAL
@pytest.mark.parametrize("seed", range(6))
def test_mixtures(animal: Animal, seed: int, executed_ops: Callable[..., Counter[str]]) -> None:
    case = case_of(animal.name)
    rng = random.Random(seed)
    check(animal, case, {group.name: rng.choice(group.precisions) for group in case[1]}, executed_ops)


@ANIMAL
def test_bytes_depend_on_the_assignment_alone(animal: Animal) -> None:
    model, groups, ranges = case_of(animal.name)
    used = Quantizer(model, groups, ranges)
    for seed in range(3):
        used.apply({group.name: random.Random(seed).choice(group.precisions) for group in groups})
    last = {group.name: group.precisions[-1] for group in groups}
    fresh = Quantizer(model, groups, ranges)
    assert serialize(used.apply(last)) == serialize(fresh.apply(dict(reversed(last.items()))))


NEIGHBOURS = (Precision.INT8, Precision.INT8_DYNAMIC, Precision.INT8_WEIGHT)


@ANIMAL
def test_every_two_groups_go_together(animal: Animal) -> None:
    """Static, dynamic and weight-only int8 beside each other in one graph, whatever the two share, all else in fp32 and
    in static int8."""
    model, groups, ranges = case_of(animal.name)
    quantizer = Quantizer(model, groups, ranges)
    feed = animal.feeds(1)[0]
    pairs = list(itertools.combinations(groups, 2))
    for first, second in random.Random(0).sample(pairs, min(len(pairs), 6)):
        for one, other in itertools.permutations(NEIGHBOURS, 2):
            if one not in first.precisions or other not in second.precisions:
                continue
            for rest in (Precision.FP32, Precision.INT8):
                chosen = {group.name: rest for group in groups if rest in group.precisions}
                run_once(quantizer.apply(chosen | {first.name: one, second.name: other}), feed)


def test_nothing_follows_a_tensor_that_nobody_makes() -> None:
    model, *_ = case_of("decoder_of_learned_queries")
    graph = Graph(model.graph)
    draft = GraphEdit(Source(model, graph, Weights(graph, Scheme(), "@"), "@"))
    with pytest.raises(BuildFailed, match="'queries' is no input"):
        draft.follow("queries", [])
