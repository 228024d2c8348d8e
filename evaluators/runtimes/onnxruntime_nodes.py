"""Reads per-node times and assignments from ONNX Runtime's profiler."""

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
"""Number of nodes that an error names."""

_TYPES = {"float": "float32", "double": "float64"}


def profile_nodes(open_session: Callable[[Path], Any], feed: Arrays, runs: int) -> list[TimedNode]:
    """Times the nodes of a session; ``open_session`` takes the prefix of its profile's path. One more run warms up."""
    with tempfile.TemporaryDirectory(prefix="paretune-nodes-") as folder:
        session = open_session(Path(folder) / "profile")
        for _ in range(runs + 1):
            session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text())
    return nodes_of(events)


def check_assignment(session: Any, providers: Collection[str], name: str) -> None:
    """Checks that every node of file ``name`` was assigned to one of ``providers``; ONNX Runtime falls back silently.

    ``session`` must have been opened with ``session.record_ep_graph_assignment_info``.

    Raises:
        UnsupportedOp: names the nodes that were assigned to another provider.
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
    """Returns the nodes of a profile with their median times, in order of execution, without the first inference."""
    kernels: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kernels[event["args"]["node_index"], event["name"]].append(event)
    nodes = []
    for (_, name), runs in kernels.items():
        arguments = runs[0]["args"]
        nodes.append(
            TimedNode(
                name=_KERNEL.sub("", name),
                operator=arguments["op_name"],
                ms=median(event["dur"] for event in runs[1:] or runs) / 1000,
                provider=arguments["provider"],
                inputs=_tensors(arguments.get("input_type_shape", ())),
                outputs=_tensors(arguments.get("output_type_shape", ())),
            )
        )
    return nodes


def _tensors(entries: Sequence[Mapping[str, Sequence[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((_TYPES.get(kind, kind), tuple(shape)) for tensor in entries for kind, shape in tensor.items())
