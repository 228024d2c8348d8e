"""Node by node: what ONNX Runtime's own profiler says of a session."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from evaluators.runtimes.base import TimedNode
from evaluators.tensors import Arrays
from hwprofiles.errors import UnsupportedOp

_KERNEL = re.compile(r"_kernel_time$")
_SHOWN = 5
"""Nodes that an error names."""

_TYPES = {"float": "float32", "double": "float64"}


def time_nodes(open_session: Callable[[Path], Any], feed: Arrays, runs: int) -> list[TimedNode]:
    """The nodes of a session that ``open_session`` makes with profiles written under the path that it is given."""
    with tempfile.TemporaryDirectory(prefix="paretune-nodes-") as folder:
        session = open_session(Path(folder) / "profile")
        for _ in range(runs + 1):
            session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text())
    return nodes_of(events)


def check_assignment(session: Any, providers: Collection[str], name: str) -> None:
    """Raises :class:`UnsupportedOp` where a node of file ``name`` was assigned to none of ``providers``.

    ``session`` was opened with ``session.record_ep_graph_assignment_info``; ONNX Runtime falls back silently otherwise.
    """
    strays: dict[str, list[str]] = defaultdict(list)
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name not in providers:
            strays[part.ep_name] += [f"{node.name} ({node.op_type})" for node in part.get_nodes()]
    if strays:
        provider, nodes = next(iter(strays.items()))
        count = sum(map(len, strays.values()))
        shown = ", ".join(nodes[:_SHOWN]) + (", …" if len(nodes) > _SHOWN else "")
        raise UnsupportedOp(
            f"{name}: {count} nodes run on {provider}, not on {' or '.join(sorted(providers))}: {shown}",
            "leave these operators out, or measure on a device that runs all of them",
        )


def nodes_of(events: Sequence[Mapping[str, Any]]) -> list[TimedNode]:
    """Median times of the nodes in a profile's events, the first inference left out, in the order of execution."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["node_index"], event["name"]].append(event)
    nodes = []
    for (_, name), timed in found.items():
        arguments = timed[0]["args"]
        nodes.append(
            TimedNode(
                name=_KERNEL.sub("", name),
                operator=arguments["op_name"],
                ms=median(event["dur"] for event in timed[1:] or timed) / 1000,
                provider=arguments["provider"],
                inputs=_tensors(arguments.get("input_type_shape", ())),
                outputs=_tensors(arguments.get("output_type_shape", ())),
            )
        )
    return nodes


def _tensors(described: Sequence[Mapping[str, Sequence[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((_TYPES.get(kind, kind), tuple(shape)) for tensor in described for kind, shape in tensor.items())
