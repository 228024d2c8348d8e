"""Where things lie: our packages are ours, their surfaces are pinned, and each loads no more than it should."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer

import dashboards
import evaluators
import hwprofiles
import paretune
import search
from dashboards.cli.commands import build_app
from dashboards.main import main

ROOT = Path(__file__).parents[1]
PACKAGES = (hwprofiles, evaluators, search, dashboards, paretune)

SURFACES = {
    "paretune": {
        "Candidate", "Client", "Job", "JobStatus", "ParetuneError", "ProfileReport", "Result",
        "TorchTask", "__version__", "open", "profile", "run",
    },
    "hwprofiles": {"DEVICES", "Precision", "Profile", "digest_of", "digest_of_file", "find_device"},
    "evaluators.runtimes": {
        "RUNTIMES", "Array", "Arrays", "NullRuntime", "OnnxRuntime", "OpenVino", "Runtime", "Session",
        "TensorRtRuntime", "TensorSpec", "TrtexecRuntime", "with_two_builds", "runtime_of",
    },
    "evaluators.health": {
        "APART_S", "VERDICTS", "Counters", "GpuCounters", "Health", "History", "Repeats", "Tolerance", "Watch",
        "widen",
    },
    "evaluators.quantize": {"Quantizer", "Scheme", "activation_tensors"},
    "search.tasks": {
        "TASKS", "BuiltInTask", "Digits", "OnnxTask", "Predict", "Split", "Task", "TorchTask", "check_files",
        "check_task", "open_task",
    },
    "search.techniques": {
        "FOOTPRINT", "TECHNIQUES", "Draft", "ModuleTechnique", "Offer", "Stage", "Subject", "Technique",
        "TechniqueOptions", "own_metrics", "sections_of", "trains",
    },
    "search.pruning": {
        "BlockGroup", "ChannelGroup", "ChannelsToKeep", "Group", "Producer", "TensorSlice", "best_channels",
        "block_groups", "channel_groups", "channel_step", "parameter_count", "prune", "width_choices", "zero_channels",
    },
    "search.pruning.criteria": {
        "CRITERIA", "Batch", "Criterion", "LossFunction", "Needs", "Scores", "Sees", "sparsity_term",
    },
    "search.students": {
        "PlainLayer", "Removal", "Unit", "build_student", "compare_layers", "find_units", "find_gone",
        "find_outermost",
    },
    "search.filters": {"FILTERS", "Filter", "FilterOptions", "Scored", "Untrained", "make_filters"},
    "search.strategies": {
        "STRATEGIES", "Bayesian", "Evolution", "Fliqs", "LatencyPredictor", "N2n", "Nsga2", "RandomSearch", "Result",
        "Reward", "Sensitivity", "Staged", "Strategy", "StrategyContext", "StrategyOptions",
    },
    "search.store": {
        "EVERYTHING", "ExportLease", "ExportRow", "JobBusy", "JobFilters", "JobRow", "JobVersion", "Json", "Lease",
        "Sight", "StaleLease", "Store", "Submission", "TrialRow", "candidate_id_of", "database_exists",
        "digests_of", "is_orphan", "this_process", "upgrade",
    },
}  # fmt: skip

REGISTRIES = {
    "hwprofiles.DEVICES": ["local-cpu", "local-gpu", "dry-run"],
    "evaluators.runtimes.RUNTIMES": ["onnxruntime", "openvino", "tensorrt", "trtexec", "null"],
    "search.tasks.TASKS": ["digits", "onnx"],
    "search.techniques.TECHNIQUES": [
        "runtime",
        "pruning",
        "student",
        "sparsity",
        "training",
        "graph",
        "formats",
        "precision",
    ],
    "search.pruning.criteria.CRITERIA": ["l1", "l2", "bn_scale", "taylor", "lrp", "expressiveness", "random"],
    "search.filters.FILTERS": ["parameters", "zico"],
    "search.strategies.STRATEGIES": [
        "bayesian",
        "evolution",
        "fliqs",
        "n2n",
        "nsga2",
        "random",
        "sensitivity",
        "staged",
    ],
}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_each_package_is_this_repository_s(package: object) -> None:
    """A stranger's ``search`` among the installed packages would win silently."""
    file = getattr(package, "__file__", None)
    assert file is not None
    assert Path(file).parent.parent == ROOT


@pytest.mark.parametrize("name", SURFACES)
def test_public_surfaces_are_pinned(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) == SURFACES[name]
    assert all(hasattr(module, one) for one in module.__all__)


@pytest.mark.parametrize("place", REGISTRIES)
def test_what_ships_is_pinned(place: str) -> None:
    module, _, name = place.rpartition(".")
    registry = getattr(importlib.import_module(module), name)
    assert list(registry) == REGISTRIES[place]
    assert len(registry) == len(REGISTRIES[place])


def loaded_by(program: str) -> set[str]:
    """The top-level modules in a fresh process after a program."""
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(printed.stdout.split())


LARGE = {"torch", "ray", "sqlalchemy", "optuna", "pydantic", "typer", "fastapi", "scipy", "sklearn", "matplotlib"}


def modules_of(package: object) -> list[str]:
    name, path = package.__name__, package.__path__  # type: ignore[attr-defined]
    return [name, *(found.name for found in pkgutil.walk_packages(path, f"{name}."))]


def test_evaluators_load_without_what_a_search_needs() -> None:
    names = modules_of(evaluators)
    assert "evaluators.torch_export" in names
    loaded = loaded_by(f"import {', '.join(names)}")
    assert not loaded & LARGE
    assert not loaded & {"search", "dashboards"}


def test_an_agent_loads_only_what_its_machine_has() -> None:
    loaded = loaded_by("import evaluators.agent.agent, evaluators.agent.command")
    assert not loaded & {*LARGE, "onnx", "onnxruntime", "openvino", "tensorrt", "search", "dashboards"}
    assert not loaded_by("import evaluators.agent.command") & {"numpy", "httpx"}


def test_hardware_profiles_load_nothing_of_ours() -> None:
    loaded = loaded_by(f"import {', '.join(modules_of(hwprofiles))}")
    assert not loaded & {*LARGE, "onnx", "onnxruntime", "numpy", "evaluators", "search", "dashboards"}


def test_a_client_names_files_without_what_a_search_needs() -> None:
    assert not loaded_by("import search.artefacts.job_files") & {*LARGE, "numpy", "onnx", "fsspec"}


def test_the_console_script_loads_nothing_large() -> None:
    loaded = loaded_by("import dashboards.main")
    assert not loaded & {*LARGE, "numpy", "onnx", "onnxruntime", "search", "evaluators", "hwprofiles"}


def test_the_python_face_loads_nothing_large() -> None:
    loaded = loaded_by("import paretune\nparetune.__version__, dir(paretune), paretune.ParetuneError")
    assert not loaded & {*LARGE, "numpy", "onnx", "onnxruntime", "rich", "search", "evaluators", "dashboards"}
    assert "torch" not in loaded_by("import paretune\nparetune.open, paretune.profile")


def test_a_report_loads_neither_torch_nor_ray() -> None:
    """What only reads the store answers at once."""
    program = "from dashboards.cli import run_app\nout, sys.stdout = sys.stdout, sys.stderr\nrun_app(['schema'])"
    assert not loaded_by(f"{program}\nsys.stdout = out") & {"torch", "ray", "fastapi", "matplotlib", "sklearn"}


def test_the_console_script_leads_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="paretune")
    assert script.value == "dashboards.main:main"
    assert script.load() is main
    monkeypatch.setattr(sys, "argv", ["paretune", "devices", "show", "phone"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "'phone'" in capsys.readouterr().err


def test_only_commands_that_exist_are_recommended() -> None:
    """A hint such as ``paretune resume JOB`` must work."""
    known = set(typer.main.get_command(build_app()).commands)  # type: ignore[attr-defined]
    for package in PACKAGES:
        for file in Path(package.__file__ or "").parent.rglob("*.py"):
            for command in re.findall(r": paretune ([a-z]+)\b", file.read_text()):
                assert command in known, f"{file.name} recommends: paretune {command}"
