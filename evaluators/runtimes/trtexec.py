"""TensorRT through its command-line tool, where only that is installed: times a model, and does no more.

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
from hwprofiles.trtexec import find_trtexec

RUNS = 64
"""Inferences that one start of the tool times."""

WARM_UP_MS = 200
PATIENCE_S = 900.0


@dataclass(frozen=True)
class Tool:
    """The tool, and the version of TensorRT that it says it is."""

    path: Path
    version: str

    def build_command(
        self, model: Path, engine: Path, timing_cache: Path, smallest: Shapes, largest: Shapes, *, tf32: bool
    ) -> list[str]:
        """Builds an engine from an ONNX file and runs nothing. The shapes are of the inputs that vary; kernels are
        chosen for the largest."""
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
            command += [f"--{which}Shapes={_shapes(largest)}" for which in ("opt", "max")]
        return command

    def time_command(self, engine: Path, times: Path, shapes: Shapes) -> list[str]:
        """Times :data:`RUNS` inferences of an engine and writes each into ``times``, on random inputs."""
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
        """Times each layer of an engine and writes the layers into ``profile``."""
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
    """Latency only: the tool answers no feed, so that a model's quality cannot be asked of it. Engines are built by the
    tool, kept in our own store, and taken from nowhere else. ``tf32`` means what it means to ``tensorrt``.

    The tool puts the next inference into the queue while one runs. A time is the sum of copying inputs, computing and
    copying outputs of one inference, on the GPU's clock, without what the host adds.
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
        """The version of TensorRT that the tool says it is."""
        return find_tool().version

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`. ``threads`` change nothing on a GPU. The driver is looked for before all else."""
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
    """Starts the tool whenever the times of its last start are used up."""

    def __init__(self, tool: Tool, gpu: Gpu, model: Path, sha256: str, tf32: bool) -> None:
        self._tool, self._gpu, self._model, self._sha256, self._tf32 = tool, gpu, model, sha256, tf32
        self._store = EngineStore()
        self._times: deque[Timings] = deque()
        self._shapes: dict[str, tuple[int, ...]] | None = None

    def run(self, feed: Arrays) -> dict[str, Array]:
        """Raises :class:`BuildFailed`: the tool takes no inputs of ours."""
        raise BuildFailed(
            "trtexec times a model and gives no outputs",
            "install TensorRT's Python package for quality: pip install 'paretune[tensorrt]'",
        )

    def time_ms(self, feed: Arrays) -> float:
        """See :meth:`Session.time_ms`."""
        parts = self.timings(feed)
        return parts.host_to_device_ms + parts.compute_ms + parts.device_to_host_ms

    def timings(self, feed: Arrays) -> Timings:
        """One inference in parts."""
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
        """The engine's layers with their median times."""
        shapes = self._varying(feed)
        self.prepare(shapes)
        with tempfile.TemporaryDirectory(prefix="paretune-trtexec-") as folder:
            profile, engine = Path(folder) / "profile.json", self._engine(Path(folder), shapes)
            _run(self._tool.profile_command(engine, profile, shapes, runs))
            return layers_of(_read_output(profile))

    def prepare(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Builds the engine for these shapes of the inputs that vary, unless it was built before."""
        key, timing_key = self._key(shapes), self._timing_key()
        if self._store.load("engine", key) is None:
            with tempfile.TemporaryDirectory(prefix="paretune-trtexec-") as folder:
                engine, cache = Path(folder) / "built", Path(folder) / "timing"
                if known := self._store.load("timing", timing_key):
                    cache.write_bytes(known)
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
        """The engine as our store vouches for it, in a file that lives as long as the folder."""
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
    """The tool; raises :class:`DeviceUnavailable` where it is missing or too old."""
    return Tool(*find_trtexec())


def times_of(exported: str | bytes) -> list[Timings]:
    """Every inference in the JSON of ``--exportTimes``. Raises :class:`BuildFailed` for what is not."""
    try:
        rows = json.loads(exported)
        if not isinstance(rows, list):
            raise TypeError("no list")
        return [Timings(float(row["h2dMs"]), float(row["computeMs"]), float(row["d2hMs"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise BuildFailed(f"trtexec wrote times that cannot be read: {type(error).__name__} {error}") from None


def layers_of(exported: str | bytes) -> list[TimedNode]:
    """Every layer in the JSON of ``--exportProfile``. Raises :class:`BuildFailed` for what is not."""
    try:
        rows: list[Mapping[str, object]] = [row for row in json.loads(exported) if "name" in row]
        return [
            TimedNode(str(row["name"]), "", float(str(row.get("medianMs", row.get("averageMs")))), PROVIDER)
            for row in rows
        ]
    except (TypeError, ValueError) as error:
        raise BuildFailed(f"trtexec wrote layers that cannot be read: {type(error).__name__} {error}") from None


# How the tool's log begins a line that says what went wrong.
_ERROR = re.compile(r"\[E\] (?:\[TRT\] )?(.*)")


def failure_of(said: str) -> BuildFailed | OutOfMemory | UnsupportedOp:
    """What a log says of why the tool failed."""
    lines = [match[1].strip() for match in _ERROR.finditer(said)]
    text = "; ".join(dict.fromkeys(lines))[:400] or "it did not say why"
    lowered = text.lower()
    if "out of memory" in lowered or "outofmemory" in lowered:
        return OutOfMemory(f"trtexec: {text}", "free the GPU's memory")
    if "plugin not found" in lowered or "no importer registered" in lowered or "unsupported" in lowered:
        return UnsupportedOp(f"trtexec: {text}")
    return BuildFailed(f"trtexec: {text}")


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"trtexec did not end within {PATIENCE_S:g} s") from None
    except OSError as error:
        raise DeviceUnavailable(f"trtexec does not start: {error.strerror}", "install TensorRT again") from None
    if done.returncode:
        raise failure_of(done.stdout + done.stderr)


def _read_output(path: Path) -> bytes:
    """A file that the tool was told to write."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildFailed(f"trtexec did not write its {path.name}: {error.strerror}") from None


def _shapes(shapes: Shapes) -> str:
    """As the tool takes them: ``x:1x3x32x32,y:1x8``; a name with a colon in quotes."""
    return ",".join(
        f"{repr(name) if ':' in name else name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()
    )
