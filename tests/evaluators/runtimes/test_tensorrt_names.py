"""No name of TensorRT or CUDA is invented: our calls, and the stand-ins' in our tests, against the published bindings.

Three packages: the bindings of TensorRT 11 and those of 10, both loaded without their library (see
``published_tensorrt.py``), and the lean runtime of 11 with its library. ``make setup`` installs them.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import fake_tensorrt
import pytest
from cuda.bindings import driver as cuda_driver
from cuda.bindings import runtime as cuda_runtime

from evaluators.runtimes import cuda as our_cuda
from evaluators.runtimes import tensorrt_engine, tensorrt_library, tensorrt_session
from hwprofiles import cuda as our_driver

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tests" / "builders" / "published_tensorrt.py"

BINDINGS = {
    "11": ["tensorrt_bindings"],
    "10": ["tensorrt_bindings", str(Path(sys.prefix) / "tensorrt10")],
    "lean": ["tensorrt_lean_bindings"],
}
FULL = ("11", "10")

Described = dict[str, dict[str, str]]


@functools.cache
def published(which: str) -> Described:
    """What a package's bindings have, asked in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(PROGRAM), folder, *BINDINGS[which]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run make setup: {done.stderr}"
    found: Described = json.loads(done.stdout)
    assert found[""]["__version__"].startswith("10." if which == "10" else "11.")
    return found


# Our own source


SOURCES = (tensorrt_engine, tensorrt_library, tensorrt_session)

# What our source calls an object of TensorRT, and its class.
OBJECTS = {
    "builder": "Builder", "network": "INetworkDefinition", "network.get_input(n)": "ITensor",
    "network.get_input(number)": "ITensor", "tensor": "ITensor", "parser": "OnnxParser", "config": "IBuilderConfig",
    "profile": "IOptimizationProfile", "cache": "ITimingCache", "error": "ParserError", "errors[0]": "ParserError",
    "error.code()": "ErrorCode", "inspector": "EngineInspector", "self._context": "IExecutionContext",
    "self._engine": "ICudaEngine", "self._library.runtime": "Runtime",
}  # fmt: skip


def names_used(source: str) -> Iterator[tuple[str, str]]:
    """Class and member of each name of TensorRT in a source, ``("", class)`` for a class itself."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        path = f"{owner}.{node.attr}".removeprefix("self._library.")
        if path.startswith("trt.") and path.count(".") >= 1:
            owner, _, member = path.removeprefix("trt.").rpartition(".")
            yield owner, member
        elif owner in OBJECTS:
            yield OBJECTS[owner], node.attr


USED = sorted({used for module in SOURCES for used in names_used(inspect.getsource(module))})


def exists(described: Described, owner: str, member: str) -> bool:
    if not owner:
        return member in described or member in described[""]
    return member in described.get(owner, {}) or f"{owner}.{member}" in described


@pytest.mark.parametrize("which", FULL)
@pytest.mark.parametrize(("owner", "member"), USED)
def test_every_name_that_we_use_is_published(which: str, owner: str, member: str) -> None:
    if member in ("name", "value", "__init__"):  # of every enumeration, of every class
        owner, _, member = owner.rpartition(".")
    assert exists(published(which), owner, member)


@pytest.mark.parametrize(("owner", "member"), USED)
def test_what_the_lean_runtime_has_too_is_called_the_same_there(owner: str, member: str) -> None:
    if owner and owner in published("lean"):
        assert exists(published("lean"), owner, member)


def test_enough_names_are_found_in_our_source() -> None:
    """Should the source call its objects otherwise, this list would go empty silently."""
    assert len(USED) > 60
    assert ("Builder", "build_serialized_network") in USED
    assert ("IExecutionContext", "execute_async_v3") in USED
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in {*USED, *((o.split(".")[0], m) for o, m in USED)}
    assert {owner for owner, _ in USED} >= set(OBJECTS.values()) - {"ErrorCode"}


@pytest.mark.parametrize("invented", ["trt.BuilderFlag.INT8X", "builder.create_magic", "self._context.execute_v9"])
def test_an_invented_name_is_noticed(invented: str) -> None:
    ((owner, member),) = [used for used in names_used(invented) if used[0] and used[1] != "BuilderFlag"]
    assert not exists(published("11"), owner, member)


def test_no_precision_is_asked_of_the_builder() -> None:
    """Strongly typed networks take precisions from the graph; TensorRT 11 has no such flags at all."""
    flags = {member for owner, member in USED if owner == "BuilderFlag"}
    assert flags == {"TF32"}
    assert not {"FP16", "INT8", "BF16", "FP8"} & published("11")["BuilderFlag"].keys()
    assert not [member for owner, member in USED if "calib" in member.lower()]


@pytest.mark.parametrize("which", FULL)
def test_types_have_the_names_that_we_know(which: str) -> None:
    assert set(tensorrt_library._TYPES) <= published(which)["DataType"].keys()


# The stand-ins that our tests execute


def members(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers_static(kind) if not name.startswith("_")}


@pytest.mark.parametrize("which", FULL)
@pytest.mark.parametrize("kind", fake_tensorrt.CLASSES, ids=lambda kind: kind.__name__)
def test_the_stand_ins_have_published_names_and_parameters(which: str, kind: type) -> None:
    described = published(which)[kind.__name__]
    for name, value in members(kind).items():
        if issubclass(kind, Enum) and name in ("name", "value"):
            continue
        assert name in described
        if inspect.isfunction(value):
            check_parameters(value, described[name])
    if "__init__" in vars(kind) and kind.__name__ in ("Builder", "OnnxParser", "Runtime"):
        check_parameters(kind.__init__, described["__init__"])  # type: ignore[misc]


def check_parameters(ours: Any, said: str) -> None:
    """The parameters stand in the published signature, in our order; others there have a default."""
    names = [name for name in inspect.signature(ours).parameters if name != "self"]
    signatures = re.findall(r"\w+\((\w+: .*?)\) -> ", said)
    assert signatures, said
    for signature in signatures:
        signature = re.sub(r"<[^>]*>", "…", signature)
        published_names = [name for name in re.findall(r"(\w+): ", signature) if name != "self"]
        required = [n for n in published_names if not re.search(rf"\b{n}: [^,]* = ", signature)]
        if names[: len(published_names)] == published_names[: len(names)] and set(required) <= set(names):
            return
    raise AssertionError(f"{names} does not fit {signatures}")


@pytest.mark.parametrize("which", FULL)
@pytest.mark.parametrize("kind", [fake_tensorrt.IBuilderConfig, fake_tensorrt.IExecutionContext,
                                  fake_tensorrt.EngineInspector], ids=lambda kind: kind.__name__)  # fmt: skip
def test_what_the_stand_ins_let_us_set_can_be_set(which: str, kind: type) -> None:
    computed = (property, staticmethod)
    settable = [n for n, value in members(kind).items() if not callable(value) and not isinstance(value, computed)]
    assert settable
    for name in settable:
        assert published(which)[kind.__name__][name] == "settable property"


@pytest.mark.parametrize("which", FULL)
def test_the_flag_that_we_shift_by_has_another_number_in_each_version(which: str) -> None:
    flags = fake_tensorrt.module(f"{which}.0.0").NetworkDefinitionCreationFlag
    assert published(which)["NetworkDefinitionCreationFlag"]["STRONGLY_TYPED"] == f"= {flags.STRONGLY_TYPED.value}"


@pytest.mark.parametrize("which", FULL)
def test_the_stand_ins_functions_are_published(which: str) -> None:
    check_parameters(fake_tensorrt.init_libnvinfer_plugins, published(which)[""]["init_libnvinfer_plugins"])


# What can be done with the real bindings without their library

IN_THE_BINDINGS = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from published_tensorrt import load
trt = load(Path(sys.argv[1]), "tensorrt_bindings")
from evaluators.runtimes.tensorrt_library import logger
from evaluators.runtimes.tensorrt_session import _profiler
log = logger(trt)
for severity in ("VERBOSE", "WARNING", "ERROR", "INTERNAL_ERROR"):
    log.log(getattr(trt.ILogger.Severity, severity), f"a {severity}\\n  of two lines")
print(log.text)
profiler = _profiler(trt)
profiler.report_layer_time("conv", 0.5)
print(dict(profiler.times_ms))
print(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED.value))
"""


@pytest.mark.parametrize("which", FULL)
def test_our_logger_and_profiler_are_classes_of_the_bindings(tmp_path: Path, which: str) -> None:
    command = [sys.executable, "-c", IN_THE_BINDINGS, str(tmp_path), str(ROOT), str(PROGRAM.parent)]
    done = subprocess.run([*command, *BINDINGS[which][1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "a ERROR of two lines; a INTERNAL_ERROR of two lines",
        "{'conv': [0.5]}",
        {"11": "1", "10": "2"}[which],
    ]


# CUDA


def test_every_function_of_cuda_that_we_call_is_published() -> None:
    tree = ast.parse(inspect.getsource(our_cuda))
    chains = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    ours = {chain.removeprefix("self._api.") for chain in chains if chain.startswith("self._api.")}
    ours |= {f"cudaError_t.{chain.removeprefix('errors.')}" for chain in chains if chain.startswith("errors.")}
    ours |= {f"cudaError_t.{name}" for name in our_cuda._FATAL}
    assert len(ours) > 20
    for chain in ours:
        functools.reduce(getattr, chain.split("."), cuda_runtime)


@pytest.mark.parametrize("name", [name for name in vars(fake_tensorrt.FakeCuda) if name.startswith("cuda")])
def test_the_stand_in_for_cuda_has_published_functions(name: str) -> None:
    real, ours = getattr(cuda_runtime, name), getattr(fake_tensorrt.FakeCuda, name)
    if inspect.isclass(ours):
        assert ours is real
        return
    parameters = [one for one in inspect.signature(ours).parameters if one != "self"]
    (signature,) = re.findall(rf"^{name}\((.*)\)", inspect.getdoc(real) or "", re.MULTILINE)[:1]
    assert [part.partition(":")[0].split()[-1] for part in signature.split(", ") if part] == parameters


def test_functions_and_numbers_of_the_driver_are_published() -> None:
    source = inspect.getsource(our_driver)
    functions = set(re.findall(r"driver\.(cu\w+)", source))
    assert len(functions) == 9
    for name in functions:
        assert hasattr(cuda_driver, name.removesuffix("_v2")), name
    attributes = cuda_driver.CUdevice_attribute
    assert our_driver._MAJOR == attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    assert our_driver._MINOR == attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
