"""Fuses transformers for ONNX Runtime's CPU kernels: attention in one node, sum and normalisation in two."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.graph import Graph, is_op
from evaluators.graphs.layer_groups import LayerGroup, possible_precisions
from evaluators.graphs.model import MICROSOFT, load_model, save_model
from evaluators.graphs.reference_run import run_once
from evaluators.tensors import Array
from hwprofiles.errors import BuildFailed, InvalidInput
from hwprofiles.precision import Precision

MODEL_TYPES = ("bert", "gpt2", "clip")
"""Kinds of transformer to try, in this order; the first whose attention is recognised is used."""

TOLERANCE = 1e-3
"""Largest difference of a fused model's outputs, relative to the largest output of the source."""


def fuse_transformer(
    model: onnx.ModelProto, sample: Mapping[str, Array], *, limit_s: float = 300.0
) -> onnx.ModelProto | None:
    """Fuses each attention of a clean model into one node and keeps residual sums separate from normalisations.

    ``sample`` is one feed by input name; it should contain padding if the model has a mask. Returns None if nothing
    was fused or separated, or if the outputs for ``sample`` differ by more than ``TOLERANCE``. The graph tools run in
    a separate process, for at most ``limit_s`` seconds.
    """
    fused = _with_attention(model, sample, limit_s)
    separated = separate_norms(model if fused is None else fused)
    for candidate in (separated, fused):
        if candidate is not None and same_outputs(model, candidate, sample):
            return candidate
    if fused is None:
        return None
    separated = separate_norms(model)
    return separated if separated is not None and same_outputs(model, separated, sample) else None


def separate_norms(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Keeps ONNX Runtime from merging a sum with the layer normalisation after it; None if the model has no such sum.

    ONNX Runtime merges Add and LayerNormalization into SkipLayerNormalization, whose CPU kernel is several times slower
    than the two. It does not merge Sum, which computes the same as Add.
    """
    graph = Graph(model.graph)
    names = {node.name for node in model.graph.node if is_op(node, "Add") and _feeds_norm(node, graph)}
    if not names:
        return None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.name in names:
            node.op_type = "Sum"
    return copy


def regroup(groups: Iterable[LayerGroup], model: onnx.ModelProto, fused: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    """Maps a model's layer groups, under their names, to the nodes of its fused form.

    Untouched nodes keep their names. A group whose matrix products were fused gets the Attention node that reads the
    same tensor. Its precisions are those that its new nodes allow; a group with a single precision is dropped.
    """
    before = {node.name: node for node in model.graph.node}
    after = {node.name: node for node in fused.graph.node}
    graph = Graph(fused.graph)
    attentions = {node.input[0]: node for node in fused.graph.node if is_op(node, "Attention", domain=MICROSOFT)}
    result = []
    for group in groups:
        nodes: dict[str, onnx.NodeProto] = {}
        for name in group.nodes:
            untouched = name in after and after[name].op_type == before[name].op_type
            node = after[name] if untouched else attentions.get(before[name].input[0])
            if node is not None:
                nodes[node.name] = node
        allowed = [possible_precisions(node, graph) for node in nodes.values()]
        precisions = tuple(p for p in Precision if allowed and all(p in choices for choices in allowed))
        if len(precisions) > 1:
            kind = next(iter(nodes.values())).op_type
            result.append(replace(group, nodes=tuple(nodes), kind=kind, precisions=precisions))
    return tuple(result)


def same_outputs(model: onnx.ModelProto, candidate: onnx.ModelProto, sample: Mapping[str, Array]) -> bool:
    """Returns whether two models agree on a sample within ``TOLERANCE`` of the largest output (integers: exactly)."""
    try:
        outputs = run_once(candidate, sample)
    except BuildFailed:
        return False
    for name, expected in run_once(model, sample).items():
        value = outputs.get(name)
        if value is None or value.shape != expected.shape:
            return False
        if not np.issubdtype(expected.dtype, np.floating):
            if not np.array_equal(value, expected):
                return False
            continue
        wide, limit = expected.astype(np.float64), TOLERANCE * max(float(np.abs(expected).max(initial=0)), 1e-6)
        if not np.all(np.abs(value.astype(np.float64) - wide) <= limit):
            return False
    return True


def _with_attention(model: onnx.ModelProto, sample: Mapping[str, Array], limit_s: float) -> onnx.ModelProto | None:
    heads, hidden = _heads(model, sample)
    if not heads:
        return None
    program = Path(__file__).with_name("fusion_process.py")
    with tempfile.TemporaryDirectory(prefix="fusion-") as folder:
        source, target = Path(folder, "source.onnx"), Path(folder, "fused.onnx")
        save_model(model, source)
        command = [sys.executable, "-P", "-W", "ignore", str(program), str(source), str(target)]
        command += [str(heads), str(hidden), *MODEL_TYPES]
        try:
            ended = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONHASHSEED": "0"},  # the tools iterate over sets of names
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
            if ended.returncode or not target.is_file():
                return None  # no attention recognised, or the tools fail on this graph
            return clean_graph(load_model(target))
        except (subprocess.TimeoutExpired, InvalidInput):
            return None


def _heads(model: onnx.ModelProto, sample: Mapping[str, Array]) -> tuple[int, int]:
    """Returns heads and hidden size, read from the first product of queries and keys; zeros if there is none."""
    graph = Graph(model.graph)
    for softmax in (node for node in model.graph.node if is_op(node, "Softmax")):
        scores = _scores(softmax, graph)
        if scores is not None:
            queries = run_once(model, sample, [scores.input[0]])[scores.input[0]]
            if queries.ndim == 4:  # (batch, heads, tokens, size of a head)
                return queries.shape[1], queries.shape[1] * queries.shape[3]
    return 0, 0


def _scores(softmax: onnx.NodeProto, graph: Graph) -> onnx.NodeProto | None:
    """Finds the product of two activations that a Softmax normalises; scaling, masks and casts may lie between."""
    level = [softmax.input[0]]
    for _ in range(6):
        nodes = [graph.producers[name] for name in level if name in graph.producers]
        for node in nodes:
            if is_op(node, "MatMul") and not any(name in graph.initializers for name in node.input):
                return node
        level = [name for node in nodes for name in node.input]
    return None


def _feeds_norm(node: onnx.NodeProto, graph: Graph) -> bool:
    readers = {reader.op_type for reader in graph.consumers.get(node.output[0], ())}
    if "LayerNormalization" in readers:
        return True
    return {"ReduceMean", "Sub"} <= readers  # a decomposed normalisation, which the runtime recognises too
