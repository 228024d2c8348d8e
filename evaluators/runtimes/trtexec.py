"""TensorRT through its command-line tool trtexec, which can time a model but not return outputs.

Options and output: https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/command-line-programs.html
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evaluators.runtimes.base import Runtime, Session, TimedNode
from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.tensorrt_engine import Shapes, read_model
from evaluators.runtimes.tensorrt_session import PROVIDER, Timings
from evaluators.tensors import Array, Arrays
from hwprofiles import digest_of
from hwprofiles.cuda import cuda_gpu
from hwprofiles.errors import BuildFailed, DeviceUnavailable, InvalidInput, OutOfMemory, UnsupportedOp
from hwprofiles.gpus import Gpu
from hwprofiles.installed import install_command
from hwprofiles.trtexec import find_trtexec

RUNS = 64
"""Inferences that the tool times per start."""

WARM_UP_MS = 200
PATIENCE_S = 900.0
"""Time limit of one start of the tool."""


@dataclass(frozen=True)
class Tool:
    """The command-line tool and the commands to run."""

    path: Path
    version: str
    """Version of TensorRT that it reports."""

    def build_command(
        self, model: Path, engine: Path, timing_cache: Path, smallest: Shapes, largest: Shapes, *, tf32: bool
    ) -> list[str]:
        """Returns the command that builds an engine from an ONNX file without running it.

        The shapes are those of dynamic inputs; kernels are chosen for the largest.
        """
        command = [
            str(self.path),
            f"--onnx={model}",
            f"--saveEngine={engine}",
            f"--timingCacheFile={timing_cache}",
            "--profilingVerbosity=detailed",
            "--skipInference",
        ]
        if self._major < 11:
            command.append("--stronglyTyped")
        if not tf32:
            command.append("--noTF32")
        if largest:
            command.append(f"--minShapes={_shapes(smallest)}")
            command += [f"--{bound}Shapes={_shapes(largest)}" for bound in ("opt", "max")]
        return command

    def time_command(self, engine: Path, times: Path, shapes: Shapes) -> list[str]:
        """Returns the command that times :data:`RUNS` inferences on random inputs and writes them to ``times``."""
        command = [
            str(self.path),
            f"--loadEngine={engine}",
            f"--exportTimes={times}",
            f"--iterations={RUNS}",
            "--duration=0",
            f"--warmUp={WARM_UP_MS}",
        ]
        return [*command, f"--shapes={_shapes(shapes)}"] if shapes else command

    def profile_command(self, engine: Path, profile: Path, shapes: Shapes, runs: int) -> list[str]:
        """Returns the command that times each layer of an engine and writes them to ``profile``."""
        command = [
            str(self.path),
            f"--loadEngine={engine}",
            f"--exportProfile={profile}",
            "--dumpProfile",
            f"--iterations={runs}",
            "--duration=0",
            f"--warmUp={WARM_UP_MS}",
        ]
        return [*command, f"--shapes={_shapes(shapes)}"] if shapes else command

    @property
    def _major(self) -> int:
        return int(self.version.split(".")[0])


class TrtexecRuntime(Runtime):
    """TensorRT for latency only: the tool returns no outputs, so a model's quality cannot be evaluated with it.

    The tool builds engines; they are stored in, and loaded from, our own store only. ``tf32`` is as in
    :class:`TensorRtRuntime`. The tool enqueues the next inference while one runs. A time is the sum of copying inputs,
    computing and copying outputs of one inference, on the GPU's clock, without overhead of the host.
    """

    name = "trtexec"
    hints: ClassVar[tuple[str, ...]] = ("", "tf32")

    @property
    def family(self) -> str:
        """See :attr:`Runtime.family`."""
        return self.name

    @property
    def on_gpu(self) -> bool:
        """See :attr:`Runtime.on_gpu`."""
        return True

    def version(self) -> str:
        """Returns the version of TensorRT that the tool reports."""
        return find_tool().version

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`. ``threads`` have no effect on a GPU. The driver is checked first."""
        return self._session(model)

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """See :meth:`Runtime.time_nodes`: the engine's layers, by name and time alone."""
        return self._session(model).time_layers(feed, runs)

    def _session(self, model: Path) -> _TrtexecSession:
        from evaluators.graphs.model import input_specs, load_model, output_specs

        gpu, tool = cuda_gpu(), find_tool()
        content = read_model(model)
        try:
            loaded = load_model(model)
            inputs, outputs = input_specs(loaded), output_specs(loaded)
        except InvalidInput as error:
            raise BuildFailed(error.message, error.hint) from None
        session = _TrtexecSession(tool, gpu, model, hashlib.sha256(content).hexdigest(), self.hint == "tf32")
        session.inputs, session.outputs = inputs, outputs
        if not any(None in spec.shape for spec in inputs):
            session.prepare({})
        return session


class _TrtexecSession(Session):
    """A session that starts the tool whenever the times of its last start are used up."""

    def __init__(self, tool: Tool, gpu: Gpu, model: Path, sha256: str, tf32: bool) -> None:
        self._tool, self._gpu, self._model, self._sha256, self._tf32 = tool, gpu, model, sha256, tf32
        self._store = EngineStore()
        self._times: deque[Timings] = deque()
        self._shapes: dict[str, tuple[int, ...]] | None = None

    def run(self, feed: Arrays) -> dict[str, Array]:
        """Raises :class:`BuildFailed`: the tool takes no feed and returns no outputs."""
        raise BuildFailed(
            "trtexec times a model and gives no outputs",
            f"install TensorRT's Python package for quality: {install_command('tensorrt')}",
        )

    def time_ms(self, feed: Arrays) -> float:
        """See :meth:`Session.time_ms`."""
        parts = self.timings(feed)
        return parts.host_to_device_ms + parts.compute_ms + parts.device_to_host_ms

    def timings(self, feed: Arrays) -> Timings:
        """Returns the times of one inference in parts."""
        shapes = self._varying(feed)
        if shapes != self._shapes:
            self.prepare(shapes)
        if not self._times:
            with tempfile.TemporaryDirectory(prefix="paretune-trtexec-") as folder:
                times, engine = Path(folder) / "times.json", self._engine(Path(folder), shapes)
                _run(self._tool.time_command(engine, times, shapes))
                self._times.extend(times_of(_read_output(times)))
        if not self._times:
            raise BuildFailed("trtexec timed nothing")
        return self._times.popleft()

    def time_layers(self, feed: Arrays, runs: int) -> list[TimedNode]:
        """Times the engine's layers; returns them with median times."""
        shapes = self._varying(feed)
        self.prepare(shapes)
        with tempfile.TemporaryDirectory(prefix="paretune-trtexec-") as folder:
            profile, engine = Path(folder) / "profile.json", self._engine(Path(folder), shapes)
            _run(self._tool.profile_command(engine, profile, shapes, runs))
            return layers_of(_read_output(profile))

    def prepare(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Builds the engine for these shapes of the dynamic inputs, unless it is stored."""
        key, timing_key = self._key(shapes), self._timing_key()
        if self._store.load("engine", key) is None:
            with tempfile.TemporaryDirectory(prefix="paretune-trtexec-") as folder:
                engine, cache = Path(folder) / "built", Path(folder) / "timing"
                if times := self._store.load("timing", timing_key):
                    cache.write_bytes(times)
                smallest = {
                    spec.name: tuple(1 if dim is None else dim for dim in spec.shape)
                    for spec in self.inputs
                    if spec.name in shapes
                }
                _run(self._tool.build_command(self._model, engine, cache, smallest, shapes, tf32=self._tf32))
                self._store.save("engine", key, _read_output(engine))
                if cache.exists():
                    self._store.save("timing", timing_key, cache.read_bytes())
        self._times.clear()
        self._shapes = shapes

    def close(self) -> None:
        """See :meth:`Session.close`."""
        self._times.clear()

    def _engine(self, folder: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
        """Copies the stored engine into a file in ``folder``."""
        plan = self._store.load("engine", self._key(shapes))
        if plan is None:
            raise BuildFailed("the engine that was built is no longer in our store")
        path = folder / "engine"
        path.write_bytes(plan)
        return path

    def _varying(self, feed: Arrays) -> dict[str, tuple[int, ...]]:
        missing = [spec.name for spec in self.inputs if spec.name not in feed]
        if missing:
            raise BuildFailed(f"the runtime refused an input: {missing[0]!r} is missing")
        return {spec.name: tuple(feed[spec.name].shape) for spec in self.inputs if None in spec.shape}

    def _key(self, shapes: Shapes) -> str:
        gpu = self._gpu
        return digest_of(
            {
                "tool": "trtexec",
                "onnx": self._sha256,
                "tensorrt": self._tool.version,
                "gpu": [gpu.name, gpu.compute_capability, gpu.driver],
                "tf32": self._tf32,
                "shapes": {name: list(shape) for name, shape in shapes.items()},
            }
        )

    def _timing_key(self) -> str:
        gpu = self._gpu
        return digest_of({"tool": "trtexec", "tensorrt": self._tool.version, "gpu": [gpu.name, gpu.compute_capability]})


def find_tool() -> Tool:
    """Finds the tool; raises :class:`DeviceUnavailable` if it is missing or too old."""
    return Tool(*find_trtexec())


def times_of(exported: str | bytes) -> list[Timings]:
    """Parses the JSON of ``--exportTimes``, one entry per inference; raises :class:`BuildFailed` if it is malformed."""
    try:
        rows = json.loads(exported)
        if not isinstance(rows, list):
            raise TypeError("no list")
        return [Timings(float(row["h2dMs"]), float(row["computeMs"]), float(row["d2hMs"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BuildFailed(f"trtexec wrote times that cannot be read: {type(error).__name__} {error}") from None


def layers_of(exported: str | bytes) -> list[TimedNode]:
    """Parses the JSON of ``--exportProfile``, one entry per layer; raises :class:`BuildFailed` if it is malformed."""
    try:
        rows: list[Mapping[str, object]] = [row for row in json.loads(exported) if "name" in row]
        return [
            TimedNode(str(row["name"]), "", float(str(row.get("medianMs", row.get("averageMs")))), PROVIDER)
            for row in rows
        ]
    except (TypeError, ValueError) as error:
        raise BuildFailed(f"trtexec wrote layers that cannot be read: {type(error).__name__} {error}") from None


# Prefix of an error in the tool's log.
_ERROR = re.compile(r"\[E\] (?:\[TRT\] )?(.*)")


def failure_of(log: str) -> BuildFailed | OutOfMemory | UnsupportedOp:
    """Returns the error that explains, from its log, why the tool failed."""
    lines = [match[1].strip() for match in _ERROR.finditer(log)]
    text = "; ".join(dict.fromkeys(lines))[:400] or "it did not say why"
    lowered = text.lower()
    if "out of memory" in lowered or "outofmemory" in lowered:
        return OutOfMemory(f"trtexec: {text}", "free the GPU's memory")
    if "plugin not found" in lowered or "no importer registered" in lowered or "unsupported" in lowered:
        return UnsupportedOp(f"trtexec: {text}")
    return BuildFailed(f"trtexec: {text}")


def _run(command: Sequence[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"trtexec did not end within {PATIENCE_S:g} s") from None
    except OSError as error:
        raise DeviceUnavailable(f"trtexec does not start: {error.strerror}", "install TensorRT again") from None
    if result.returncode:
        raise failure_of(result.stdout + result.stderr)


def _read_output(path: Path) -> bytes:
    """Reads a file that the tool should have written."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildFailed(f"trtexec did not write its {path.name}: {error.strerror}") from None


def _shapes(shapes: Shapes) -> str:
    """Formats shapes for the tool: ``x:1x3x32x32,y:1x8``; a name with a colon is quoted."""
    return ",".join(
        f"{repr(name) if ':' in name else name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()
    )
