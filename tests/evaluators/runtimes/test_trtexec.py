"""The tool: how it is called, and how its output is read. Outputs follow the published sources of TensorRT 10."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_trtexec
import numpy as np
import onnx
import pytest
from needs_gpu import missing
from onnx_builder import Builder, Dim
from stand_in_gpu import GPU

from evaluators.runtimes import TrtexecRuntime, trtexec
from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.trtexec import RUNS, Tool, failure_of, layers_of, times_of
from hwprofiles import trtexec as tool_of_the_machine
from hwprofiles.errors import BuildFailed, DeviceUnavailable, OutOfMemory, UnsupportedOp
from hwprofiles.trtexec import find_trtexec, version_of

Commands = Callable[[], list[list[str]]]


def model(folder: Path, batch: Dim) -> Path:
    builder = Builder()
    builder.op("MatMul", builder.input("x", [batch, 8]), builder.weight(8, 4), out="y")
    builder.output("y", shape=[batch, 4])
    path = folder / "model.onnx"
    onnx.save(builder.model(), path)
    return path


FEED = {"x": np.zeros((4, 8), np.float32)}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The stand-in on the path; gives the command lines that it was started with, without the program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "trtexec"
    tool.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(fake_trtexec.__file__).parent)!r})\n"
                    "import fake_trtexec\nsys.exit(fake_trtexec.main(sys.argv[1:]))\n")  # fmt: skip
    tool.chmod(0o755)
    log = tmp_path / "commands"
    log.touch()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(log))
    monkeypatch.setattr(trtexec, "cuda_gpu", lambda: GPU)
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def without_paths(command: list[str]) -> list[str]:
    return [f"{name}={value.rpartition('/')[2]}" if "/" in value else one
            for one in command for name, _, value in [one.partition("=")]]  # fmt: skip


class TestCommands:
    def test_a_fixed_model(self, tmp_path: Path, commands: Commands) -> None:
        TrtexecRuntime().open(model(tmp_path, 4)).time_ms(FEED)
        build, time = commands()
        assert without_paths(build) == [
            "--onnx=model.onnx", "--saveEngine=built", "--timingCacheFile=timing", "--profilingVerbosity=detailed",
            "--skipInference", "--stronglyTyped", "--noTF32",
        ]  # fmt: skip
        assert without_paths(time) == [
            "--loadEngine=engine", "--exportTimes=times.json", f"--iterations={RUNS}", "--duration=0", "--warmUp=200",
        ]  # fmt: skip

    def test_open_shapes(self, tmp_path: Path, commands: Commands) -> None:
        session = TrtexecRuntime().open(model(tmp_path, "n"))
        assert commands() == []
        session.time_ms(FEED)
        build, time = commands()
        assert build[-3:] == ["--minShapes=x:1x8", "--optShapes=x:4x8", "--maxShapes=x:4x8"]
        assert time[-1] == "--shapes=x:4x8"

    def test_tf32(self, tmp_path: Path, commands: Commands) -> None:
        TrtexecRuntime("tf32").open(model(tmp_path, 4))
        (build,) = commands()
        assert "--noTF32" not in build

    def test_tensorrt_11_knows_no_other_networks(
        self, tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_TRTEXEC_VERSION", "110400")
        TrtexecRuntime().open(model(tmp_path, 4))
        (build,) = commands()
        assert "--stronglyTyped" not in build

    def test_no_precision_is_ever_asked_for(self, tmp_path: Path) -> None:
        for version in ("10.3.0", "11.4.0"):
            tool = Tool(tmp_path / "trtexec", version)
            build = tool.build_command(tmp_path, tmp_path, tmp_path, {}, {}, tf32=False)
            assert not {"--fp16", "--int8", "--bf16", "--best", "--calib"} & {one.partition("=")[0] for one in build}

    def test_a_name_with_a_colon_is_quoted(self, tmp_path: Path) -> None:
        command = Tool(tmp_path, "10.3.0").time_command(tmp_path, tmp_path, {"input:0": (1, 3), "b": (2,)})
        assert command[-1] == "--shapes='input:0':1x3,b:2"


class TestSessions:
    def test_one_start_times_many_inferences(self, tmp_path: Path, commands: Commands) -> None:
        session = TrtexecRuntime().open(model(tmp_path, 4))
        found = [session.time_ms(FEED) for _ in range(RUNS + 1)]
        assert found[:2] == pytest.approx([0.215, 0.216])
        assert found[-1] == found[0]
        assert len(commands()) == 3

    def test_an_engine_is_built_once(self, tmp_path: Path, commands: Commands) -> None:
        for _ in range(2):
            TrtexecRuntime().open(model(tmp_path, 4)).time_ms(FEED)
        assert [command[0].partition("=")[0] for command in commands()] == ["--onnx", "--loadEngine", "--loadEngine"]

    def test_the_timing_cache_serves_the_next_build(self, tmp_path: Path, commands: Commands) -> None:
        TrtexecRuntime().open(model(tmp_path, 4))
        TrtexecRuntime("tf32").open(model(tmp_path, 4))
        store = EngineStore()
        (path,) = store.folder.glob("*.timing")
        assert store.load("timing", path.stem) == b"times,times,"

    def test_an_engine_that_is_not_ours_is_not_started(self, tmp_path: Path, commands: Commands) -> None:
        session = TrtexecRuntime().open(model(tmp_path, 4))
        (kept,) = EngineStore().folder.glob("*.engine")
        kept.write_bytes(b"plan of somebody else")
        with pytest.raises(BuildFailed, match="no longer in our store"):
            session.time_ms(FEED)
        assert len(commands()) == 1

    def test_it_gives_no_outputs(self, tmp_path: Path, commands: Commands) -> None:
        session = TrtexecRuntime().open(model(tmp_path, 4))
        with pytest.raises(BuildFailed, match="gives no outputs") as failed:
            session.run(FEED)
        assert "paretune[tensorrt]" in failed.value.hint

    def test_layers(self, tmp_path: Path, commands: Commands) -> None:
        nodes = TrtexecRuntime().time_nodes(model(tmp_path, "n"), FEED)
        assert [(node.name, node.ms) for node in nodes] == [
            ("conv1 + relu1", 0.2),
            ("Reformatting CopyNode for Output Tensor 0 to fc", 0.08),
        ]
        assert commands()[-1][-1] == "--shapes=x:4x8"

    def test_a_missing_input(self, tmp_path: Path, commands: Commands) -> None:
        with pytest.raises(BuildFailed, match="'x' is missing"):
            TrtexecRuntime().open(model(tmp_path, "n")).time_ms({})

    @pytest.mark.parametrize(
        ("wrong", "kind", "said"),
        [
            ("unknown-op", UnsupportedOp, "Strange"),
            ("memory", OutOfMemory, "OutOfMemory"),
            ("crash", BuildFailed, "did not say why"),
            ("silent", BuildFailed, "did not write"),
        ],
    )
    def test_what_goes_wrong(
        self, tmp_path: Path, commands: Commands, monkeypatch: Any, wrong: str, kind: type[Exception], said: str
    ) -> None:
        monkeypatch.setenv("FAKE_TRTEXEC", wrong)
        with pytest.raises(kind, match=said) as failed:
            TrtexecRuntime().open(model(tmp_path, 4))
        assert "\n" not in str(failed.value)


class TestOutput:
    def test_times(self) -> None:
        parts = times_of(fake_trtexec.times(3))
        assert [(p.host_to_device_ms, p.compute_ms, p.device_to_host_ms) for p in parts] == [
            (0.01, 0.2, 0.005), (0.01, 0.201, 0.005), (0.01, 0.202, 0.005),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "text", ["", "[", "{}", '[{"h2dMs": 1}]', '[{"h2dMs": "a", "computeMs": 1, "d2hMs": 1}]', "[1]"]
    )
    def test_times_that_are_none(self, text: str) -> None:
        with pytest.raises(BuildFailed, match="cannot be read"):
            times_of(text)

    @pytest.mark.parametrize("text", ["", "[", "[1]", '[{"name": "a"}]'])
    def test_layers_that_are_none(self, text: str) -> None:
        with pytest.raises(BuildFailed, match="cannot be read"):
            layers_of(text)

    def test_a_long_log_is_cut(self) -> None:
        assert len(failure_of("[E] " + "x" * 5000).message) < 500


class TestTheTool:
    def test_its_version(self, commands: Commands) -> None:
        path, version = find_trtexec()
        assert (path.name, version) == ("trtexec", "10.16.1")
        assert TrtexecRuntime().version() == "10.16.1"

    @pytest.mark.parametrize(
        ("said", "version"),
        [("[TensorRT v100300]", "10.3.0"), ("[TensorRT v101303]", "10.13.3"), ("[TensorRT v110400]", "11.4.0")],
    )
    def test_versions(self, said: str, version: str) -> None:
        assert version_of(f"&&&& RUNNING TensorRT.trtexec {said} # trtexec --help") == version

    @pytest.mark.parametrize(("said", "wrong"), [("[TensorRT v8601]", "TensorRT 8"), ("hello", "does not say")])
    def test_versions_that_will_not_do(self, said: str, wrong: str) -> None:
        with pytest.raises(DeviceUnavailable, match=wrong) as unavailable:
            version_of(said)
        assert "TensorRT 10" in unavailable.value.hint

    def test_it_is_found_where_packages_put_it(
        self, tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(DeviceUnavailable, match="not installed"):
            find_trtexec(places=[str(tmp_path)])
        assert find_trtexec(places=["/no/such/folder", str(tmp_path / "bin")])[1] == "10.16.1"
        assert "/usr/src/tensorrt/bin" in tool_of_the_machine.PLACES

    def test_one_that_does_not_start(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "trtexec").write_bytes(b"\x00 no program")
        (tmp_path / "trtexec").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DeviceUnavailable, match="does not start"):
            find_trtexec()

    def test_without_a_gpu_the_driver_is_named_first(self, tmp_path: Path) -> None:
        """On a machine with one, the tool is what may be missing."""
        why = missing("trtexec")
        assert why is None or "driver" in why.message + why.hint or "trtexec" in why.message
