"""Mistakes of a user: job files and command lines with one each, and what the answer must name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from small_jobs import samples, spec, write_job

TASK = "from paretune import TorchTask\n\ndef make_task(width: int = 8) -> TorchTask: ...\n"


@dataclass(frozen=True)
class Mistake:
    """What is typed, and what the answer must name."""

    name: str
    said: str = ""
    """Part of the first line: the field or option."""
    mended: str = ""
    """Part of the second line: how it is written."""
    fields: dict[str, Any] | None = None
    """Fields of the job file, in place of those of a right one."""
    text: str | None = None
    """The whole job file."""
    line: tuple[str, ...] = ()
    """The command line; empty: ``run job.yaml``."""
    code: int = 2


def job(title: str, said: str, mended: str, code: int = 2, /, **fields: Any) -> Mistake:
    """A job file with these fields."""
    return Mistake(title, said, mended, fields=fields, code=code)


def text(name: str, said: str, mended: str, text: str) -> Mistake:
    """A whole job file."""
    return Mistake(name, said, mended, text=text)


def staged(name: str, said: str, mended: str, stages: str) -> Mistake:
    """A job file with these stages, on a model that need not exist."""
    return text(name, said, mended, f"task: {{name: digits}}\ndevices: [dry-run]\nstages: {stages}\n")


def line(words: str, said: str, mended: str, code: int = 2) -> Mistake:
    """A command line; ``_`` within a word stands for a space."""
    return Mistake(words, said, mended, line=tuple(word.replace("_", " ") for word in words.split()), code=code)


def onnx(**options: Any) -> dict[str, Any]:
    """The task section of a model file."""
    return {"name": "onnx", "options": {"model": "model.onnx", "data": "samples.npz"} | options}


def write_folder(folder: Path, mistake: Mistake) -> None:
    """A folder with a model, its samples with and without labels, a task, and the job file."""
    write_job(folder)
    np.savez(folder / "unlabelled.npz", x=samples()["x"])
    np.savez(folder / "other.npz", y=samples()["x"])
    (folder / "mod.py").write_text(TASK)
    (folder / "broken.py").write_text("def make_task(:\n")
    (folder / "net.pt").write_bytes(b"PK\x03\x04 of torch")
    if mistake.fields is not None:
        (folder / "job.yaml").write_text(yaml.safe_dump(spec(**mistake.fields), sort_keys=False))
    if mistake.text is not None:
        (folder / "job.yaml").write_text(mistake.text)


def objective(metric: str, direction: str = "max", **more: Any) -> dict[str, Any]:
    """Fields of a job with one objective besides the speed-up."""
    return {
        "objectives": [{"metric": "speedup", "direction": "max"}, {"metric": metric, "direction": direction, **more}]
    }


LOCAL = {"devices": ["local-cpu"]}
TWO = {"devices": [{"name": "dry-run"}, {"name": "dry-run", "threads": 2}]}

JOB_FILES = (
    text(
        "tab",
        "job file job.yaml is not YAML at line 2: found",
        "indent with spaces, not tabs",
        "task:\n\tname: digits\n",
    ),
    text(
        "bracket",
        "job file job.yaml is not YAML at line 2: expected ','",
        "check indentation, brackets and quotes there",
        "task: {name: digits\n",
    ),
    text("empty", "the job file must contain key: value fields", "write at least: task: {name: digits}", ""),
    text(
        "list",
        "the job file must contain key: value fields",
        "write at least: task: {name: digits}",
        "- task: digits\n",
    ),
    text("no task", "task: ", "add the field 'task'", "budget: {trials: 3}\n"),
    text("twice", "seed: ", "leave one of them out", "task: {name: digits}\nseed: 1\nseed: 2\n"),
    job("budgets", "budgets: ", "did you mean 'budget'?", budgets={"trials": 3}),
    job("device", "device: ", "did you mean 'devices'?", device="local-cpu"),
    job("version", "version: ", "write: version: 1", version=2),
    job("name", "name: ", "write: name: text", name=["a"]),
    job("seed", "seed: ", "write: seed: 0", seed="x"),
    job("seed below", "seed: ", "write: seed: 0", seed=-1),
    job("task text", "task: ", "write: task: {name: digits}", task="digits"),
    job("task nam", "task.nam: ", "did you mean 'name'?", task={"nam": "digits"}),
    job("task digts", "task.name: ", "did you mean 'digits'?", task={"name": "digts"}),
    job(
        "task far",
        "task.name: ",
        "known: digits, onnx; your own: ./my_task.py:make_task or package.module:make_task",
        task={"name": "resnet50"},
    ),
    job("task option", "task.options.sise: ", "did you mean 'size'?", task={"name": "digits", "options": {"sise": 3}}),
    job(
        "task option type",
        "task.options.width: ",
        "write: width: 64, without a unit",
        task={"name": "digits", "options": {"width": "64px"}},
    ),
    job(
        "task options list",
        "task.options: ",
        "write: options: {OPTION: VALUE}",
        task={"name": "digits", "options": ["width"]},
    ),
    job(
        "task no model",
        "task.options.model: ",
        "add the field 'model'",
        task={"name": "onnx", "options": {"data": "samples.npz"}},
    ),
    job("model absent", "task.options.model: ", "did you mean 'model.onnx'?", task=onnx(model="modle.onnx")),
    job(
        "model pt",
        "task.options.model: ",
        "export it with torch.onnx.export, or write a task file that",
        task=onnx(model="net.pt"),
    ),
    job("data absent", "task.options.data: ", "did you mean 'samples.npz'?", task=onnx(data="sample.npz")),
    job(
        "data other",
        "task.options.data: ",
        "it holds ['y']; name the arrays like the model's inputs",
        task=onnx(data="other.npz"),
    ),
    job(
        "data pt",
        "task.options.data: ",
        "write it with: numpy.savez(path, input_name=array, …), plain numbers only",
        task=onnx(data="net.pt"),
    ),
    job(
        "no labels",
        "objectives.1: ",
        "put an array 'labels' into the data file, or give the",
        task=onnx(data="unlabelled.npz"),
        **LOCAL,
        **objective("accuracy"),
    ),
    job(
        "no labels constraint",
        "constraints.0: ",
        "put an array 'labels' into the data file, or give the",
        task=onnx(data="unlabelled.npz"),
        **LOCAL,
        constraints=["accuracy >= 0.9"],
    ),
    job("task file absent", "task.name: ", "did you mean 'mod.py'?", task={"name": "./mode.py:make_task"}),
    job("task no function", "task.name: ", "did you mean 'make_task'?", task={"name": "./mod.py:make_tsk"}),
    job(
        "task far function",
        "task.name: ",
        "name the function that returns the task; ./mod.py defines:",
        task={"name": "./mod.py:nope"},
    ),
    job("task broken", "task.name: ", "correct it there", task={"name": "./broken.py:make_task"}),
    job(
        "task py only",
        "task.name: ",
        "write: ./mod.py:make_task, with the name of the function",
        task={"name": "./mod.py"},
    ),
    job(
        "task module",
        "task.name: ",
        "install it in this environment, or put it next to the job file",
        task={"name": "nomodule:make_task"},
    ),
    job("devices text", "devices: ", "write: devices: ['local-cpu']", devices="local-cpu"),
    job("devices mapping", "devices: ", "write: devices: [local-cpu]", devices={"name": "local-cpu"}),
    job("device name", "devices.0.name: ", "did you mean 'local-cpu'?", devices=["locale-cpu"]),
    job("device far", "devices.0.name: ", "known: a10, a100", devices=["gpu0"]),
    job("threads 0", "devices.0.threads: ", "write: threads: 1", devices=[{"name": "local-cpu", "threads": 0}]),
    job("threads text", "devices.0.threads: ", "write: threads: 1", devices=[{"name": "local-cpu", "threads": "four"}]),
    job(
        "threads many",
        "device 'local-cpu': 4096 threads requested, 2 cores",
        "set threads to 2 or fewer",
        5,
        devices=[{"name": "local-cpu", "threads": 4096}],
    ),
    job("batch", "devices.0.batch: ", "write: batch: 1", devices=[{"name": "local-cpu", "batch": 2.5}]),
    job("thread", "devices.0.thread: ", "did you mean 'threads'?", devices=[{"name": "local-cpu", "thread": 2}]),
    job(
        "twice device",
        "devices.1: ",
        "leave one of them out, or give it other threads or another batch",
        devices=["dry-run", "dry-run"],
    ),
    job(
        "mixed",
        "devices: ",
        "write one job for the simulated devices and one for those that measure",
        devices=["local-cpu", "dry-run"],
    ),
    job(
        "mixed pi",
        "devices: ",
        "write one job for the simulated devices and one for those that measure",
        devices=["local-cpu", "raspberry-pi-5"],
    ),
    job("no devices", "devices: ", "write: devices: [local-cpu]", devices=[]),
    job("objectives text", "objectives: ", "write: objectives: ['speedup']", objectives="speedup"),
    job(
        "objectives names",
        "objectives.0: ",
        "write: objectives: [{metric: speedup, direction: max}]",
        objectives=["speedup"],
    ),
    job("objectives none", "objectives: ", "write: objectives: [{metric: cosine, direction: max}]", objectives=[]),
    job("direction", "objectives.1.direction: ", "write: direction: max", **objective("accuracy", "up")),
    job(
        "direction absent", "objectives.0.direction: ", "add the field 'direction'", objectives=[{"metric": "speedup"}]
    ),
    job("metric", "objectives.1: ", "did you mean 'accuracy'?", **LOCAL, **objective("acuracy")),
    job("metric short", "objectives.1: ", "did you mean 'latency_ms'?", **LOCAL, **objective("latency", "min")),
    job("metric far", "objectives.1: ", "known: accuracy, bit_operations", **LOCAL, **objective("fps")),
    job(
        "percentile",
        "objectives.1: ",
        "write latency_ms.p50, latency_ms.p90, latency_ms.p95 or latency_ms.p99",
        **objective("latency_ms.p42", "min"),
    ),
    job("objective device", "objectives.1.device: ", "use dry-run, or no device", **objective("speedup", device="pi")),
    job(
        "aggregate",
        "objectives.1.aggregate: ",
        "did you mean 'geomean'?",
        **TWO,
        **objective("speedup", aggregate="mean"),
    ),
    job(
        "fold",
        "objectives.1: ",
        "write speedup@min, speedup@max or speedup@geomean, or a",
        **TWO,
        **objective("speedup@mean"),
    ),
    job("greater", "constraints.0: ", "write: accuracy >= 0.9", constraints=["accuracy > 0.9"]),
    job("equal", "constraints.0: ", "write: accuracy >= 0.9", constraints=["accuracy == 0.9"]),
    job("per cent", "constraints.0: ", "write: accuracy >= 0.95", constraints=["accuracy >= 95%"]),
    job("unit", "constraints.0: ", "write: latency_ms <= 5, without a unit", constraints=["latency <= 5ms"]),
    job("unit right", "constraints.0: ", "write: latency_ms <= 5, without a unit", constraints=["latency_ms <= 5 ms"]),
    job(
        "megabytes",
        "constraints.0: ",
        "write: size_bytes <= 2000000, without a unit",
        constraints=["size_bytes <= 2MB"],
    ),
    job("swapped", "constraints.0: ", "write: accuracy >= 0.9", constraints=["0.9 <= accuracy"]),
    job("acc", "constraints.0: ", "did you mean 'accuracy'?", **LOCAL, constraints=["acc >= 0.9"]),
    job("of base", "constraints.0: ", "write: accuracy >= baseline - 0.01", constraints=["accuracy >= base - 0.01"]),
    job("drop", "constraints.0: ", "write: accuracy >= baseline - 0.01", constraints=["accuracy >= baseline - 1%"]),
    job("constraints text", "constraints: ", "write: constraints: ['accuracy >= 0.9']", constraints="accuracy >= 0.9"),
    job(
        "constraint mapping",
        "constraints.0: ",
        "write: constraints: ['accuracy >= baseline - 0.01']",
        constraints=[{"accuracy": 0.9}],
    ),
    job("constraint device", "constraints.0: ", "use @dry-run, or no device", constraints=["speedup@pi >= 2"]),
    job("space list", "space: ", "write: space: {precision: {}}", space=["precision"]),
    job("space text", "space: ", "write: space: {precision: {}}", space="precision"),
    job("technique", "space: ", "did you mean 'precision'?", space={"precison": {}}),
    job("quantization", "space: ", "did you mean 'precision'?", space={"quantization": {}}),
    job("far technique", "space: ", "known: formats, graph", space={"distillation": {}}),
    job("technique list", "space.precision: ", "write: precision: {}", space={"precision": ["int8"]}),
    job(
        "technique option",
        "space.precision.choice: ",
        "did you mean 'choices'?",
        space={"precision": {"choice": ["fp32"]}},
    ),
    job(
        "fp16",
        "space.precision.choices.1: ",
        "write: choices: [fp32, int8]",
        space={"precision": {"choices": ["fp32", "fp16"]}},
    ),
    job(
        "int4",
        "space.precision.choices.1: ",
        "did you mean 'int4_weight'?",
        space={"precision": {"choices": ["fp32", "int4"]}},
    ),
    job(
        "choices text",
        "space.precision.choices: ",
        "write: choices: ['int8']",
        space={"precision": {"choices": "int8"}},
    ),
    job(
        "runtime", "space.runtime.choices: ", "did you mean 'onnxruntime'?", space={"runtime": {"choices": ["onnxrt"]}}
    ),
    job(
        "pruning onnx", "space: ", "leave pruning out, or make the task a function that returns", space={"pruning": {}}
    ),
    job("ratios", "space.pruning.ratios: ", "write: ratios: [0.75, 0.5, 0.25]", space={"pruning": {"ratios": [1.5]}}),
    job(
        "criterion",
        "space.pruning.criterion: ",
        "known: bn_scale, expressiveness",
        task={"name": "digits"},
        space={"pruning": {"criterion": "l3"}},
    ),
    job("strategy", "strategy.name: ", "did you mean 'nsga2'?", strategy={"name": "nsga"}),
    job("strategy far", "strategy.name: ", "known: bayesian, evolution", strategy={"name": "gradient descent"}),
    job("strategy text", "strategy.name: ", "did you mean 'random'?", strategy="randon"),
    job("strategy number", "strategy: ", "write: strategy: {name: nsga2}", strategy=3),
    staged("stages none", "stages: must be a list", "write: stages: [{strategy: nsga2, trials: 60}]", "[]"),
    staged("stages mapping", "stages: must be a list", "write: stages: [{strategy: nsga2, trials: 60}]", "{}"),
    staged("stages empty", "stages: must be a list", "write: stages: [{strategy: nsga2, trials: 60}]", ""),
    staged("stages text", "stages.0: ", "write: stages: [{strategy: nsga2}]", "[nsga2]"),
    staged("stages strategy", "strategy: it stands in each", "leave out one", "[{}]\nstrategy: random"),
    staged("stages trials", "stages.0.trials: ", "write: trials: ", "[{trials: 0}]"),
    staged("stages key", "stages.1.kep: ", "did you mean 'keep'?", "[{}, {kep: 3}]"),
    staged("stages technique", "stages.0.space: ", "did you mean 'precision'?", "[{space: [precison]}]"),
    staged("stages other name", "stages.0.space: ", "did you mean 'precision'?", "[{space: [int8]}]"),
    staged(
        "stages without space",
        "stages.0.space: names 'graph'",
        "write: space: {graph: {}, precision: {}}",
        "[{space: [graph]}, {space: [precision]}]",
    ),
    job(
        "strategy option",
        "strategy.options.populations: ",
        "did you mean 'population'?",
        strategy={"name": "nsga2", "options": {"populations": 8}},
    ),
    job(
        "strategy value",
        "strategy.options.population: ",
        "write: population: 16",
        strategy={"name": "nsga2", "options": {"population": "big"}},
    ),
    job(
        "strategy needs", "space: ", "write: space: {formats: {}}", task={"name": "digits"}, strategy={"name": "fliqs"}
    ),
    job("budget number", "budget: ", "write: budget: {trials: 10}", budget=10),
    job("trials 0", "budget.trials: ", "write: trials: 60", budget={"trials": 0}),
    job("trials text", "budget.trials: ", "write: trials: 60", budget={"trials": "many"}),
    job("minutes below", "budget.minutes: ", "write: minutes: 1", budget={"minutes": -1}),
    job("minutes unit", "budget.minutes: ", "write: minutes: 10, without a unit", budget={"minutes": "10 min"}),
    job("hours", "budget.hours: ", "known: batch, minutes", budget={"hours": 1}),
    job("limits", "limits.training: ", "did you mean 'training_s'?", limits={"training": 60}),
    job("limits number", "limits: ", "write: limits: {training_s: 60}", limits=60),
    job(
        "memory",
        "limits.memory_bytes: ",
        "write: memory_bytes: 2000000000, without a unit",
        limits={"memory_bytes": "2GB"},
    ),
    job("loss", "recovery.losses: ", "known: class_weighted, cwd", recovery={"losses": {"mse": 1}}),
    job("loss list", "recovery.losses: ", "write: losses: {kl: {}}", recovery={"losses": ["kl"]}),
    job(
        "loss option",
        "recovery.losses.kl.wieght: ",
        "did you mean 'weight'?",
        recovery={"losses": {"kl": {"wieght": 1}}},
    ),
    job("epochs", "recovery.epochs: ", "write: epochs: 10", recovery={"epochs": 0}),
    job("recovery text", "recovery: ", "write: recovery: null", recovery="none"),
    job("epoch", "recovery.epoch: ", "did you mean 'epochs'?", recovery={"epoch": 3}),
)

LINES = (
    line("fronts", "no such command 'fronts'", "did you mean 'front'?"),
    line("run", "missing argument 'MODEL|TASK|JOB'", "write: paretune run [OPTIONS] MODEL|TASK|JOB; all options:"),
    line("run absent.yaml", "job file absent.yaml does not exist", "did you mean 'job.yaml'?"),
    line("run jop.yaml", "job file jop.yaml does not exist", "did you mean 'job.yaml'?"),
    line(
        "run net.pt",
        "net.pt holds a PyTorch model, not an ONNX model",
        "export it with torch.onnx.export, or give a Python file",
    ),
    line(
        "run samples.npz",
        "samples.npz holds samples, not a model",
        "name the model first: MODEL.onnx --data SAMPLES.npz",
    ),
    line("run .", ". is a folder", "give a model (.onnx), a task (my_task.py:make_task) or a job file (.yaml)"),
    line("run digts", "job file digts does not exist", "did you mean 'digits'?"),
    line(
        "run mod.py:nope", "mod.py has no function 'nope'", "name the function that returns the task; mod.py defines:"
    ),
    line("run broken.py", "broken.py is not Python (line 1): invalid syntax", "correct it there"),
    line(
        "run model.onnx job.yaml",
        "got unexpected extra argument(s) (job.yaml)",
        "write: paretune run [OPTIONS] MODEL|TASK|JOB; all options:",
    ),
    line("run model.onnx --dta samples.npz", "no such option --dta", "did you mean '--data'?"),
    line("run model.onnx --data sample.npz", "--data: ", "did you mean 'samples.npz'?"),
    line("run model.onnx --data", "--data: ", "write: --data VALUE; all options: paretune run --help"),
    line("run digits --data samples.npz", "--data: ", "leave --data out; it is for a model (.onnx)"),
    line("run model.onnx --device locale-cpu", "--device: ", "did you mean 'local-cpu'?"),
    line("run model.onnx --device local-cpu,dry-run", "--device: ", "write: --device local-cpu --device dry-run"),
    line("run model.onnx --objective acuracy", "--objective: ", "did you mean 'accuracy'?"),
    line("run model.onnx --objective speedup:up", "--objective: ", "known: max, min"),
    line(
        "run model.onnx --objective accuracy", "--objective: ", "put an array 'labels' into the data file, or give the"
    ),
    line("run model.onnx --constraint latency<=5ms", "--constraint: ", "write: latency_ms <= 5, without a unit"),
    line("run model.onnx --constraint speedup>2", "--constraint: ", "write: speedup >= 2"),
    line("run model.onnx --space precison", "--space: ", "did you mean 'precision'?"),
    line("run model.onnx --space int8", "--space: ", "did you mean 'precision'?"),
    line("run model.onnx --minutes ten", "--minutes: ", "write: --minutes 10"),
    line("run model.onnx --minutes 0", "--minutes: ", "write: --minutes 1"),
    line("run model.onnx --trials 0", "--trials: ", "write: --trials 60"),
    line("run model.onnx --trials 2.5", "--trials: ", "write: --trials 10"),
    line("run model.onnx --seed -1", "--seed: ", "write: --seed 0"),
    line(
        "run model.onnx --db foo:///x",
        "database URL: unknown kind of database 'foo'",
        "write it like sqlite:////home/me/jobs.db or postgresql://me@host/jobs",
    ),
    line(
        "run model.onnx --db jobs.db",
        "database URL: 'jobs.db' is not a URL",
        "for an SQLite file write: sqlite:///jobs.db",
    ),
    line(
        "run model.onnx --db sqlite:///:memory:",
        "database URL: a database in memory is lost at the end",
        "write it like sqlite:////home/me/jobs.db or postgresql://me@host/jobs",
    ),
    line("run model.onnx --format xml", "--format: ", "write: --format table"),
    line("run job.yaml --device gpu", "--device: ", "known: a10, a100"),
    line("init", "-o: ", "give another file with -o, or remove that one"),
    line("init model.onnx -o job.yaml", "-o: ", "give another file with -o, or remove that one"),
    line("init model.onnx -o no/such/job.yaml", "-o: ", "make it first, or give another file with -o"),
    line("init job.yaml -o new.yaml", "job.yaml is a job file already", "run it with: paretune run job.yaml"),
    line("check jop.yaml", "job file jop.yaml does not exist", "did you mean 'job.yaml'?"),
    line("check model.onnx --trials many", "--trials: ", "write: --trials 10"),
    line(
        "jobs all",
        "got unexpected extra argument(s) (all)",
        "write: paretune jobs [OPTIONS]; all options: paretune jobs --help",
    ),
    line(
        "jobs --db sqlite:////no/such/x.db",
        "there is no database",
        "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:",
        3,
    ),
    line(
        "status", "missing argument 'job'", "write: paretune status [OPTIONS] JOB; all options: paretune status --help"
    ),
    line("status nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3),
    line("front nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3),
    line("candidates nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3),
    line("show nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3),
    line("resume nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3),
    line("export nothing", "missing option '-o' / '--output'", "write: -o VALUE; all options: paretune export --help"),
    line(
        "export nothing -o bundle",
        "there is no database",
        "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:",
        3,
    ),
    line("export nothing -o bundle --target tflite", "--target: ", "use --target onnx"),
    line("export nothing -o bundle --wait-quiet -5", "--wait-quiet: ", "write: --wait-quiet 0"),
    line("profile absent.onnx", "there is no model file 'absent.onnx'", "give the path of an .onnx file"),
    line(
        "profile net.pt",
        "net.pt is a zip archive, as torch.save and",
        "export it with torch.onnx.export, or write a task file that",
    ),
    line("profile model.onnx --runtime onnxrt", "unknown runtime 'onnxrt'", "did you mean 'onnxruntime'?"),
    line("profile model.onnx --threads 0", "--threads: ", "write: --threads 1"),
    line(
        "profile model.onnx --against absent.onnx",
        "there is no model file 'absent.onnx'",
        "give the path of an .onnx file",
    ),
    line(
        "profile model.onnx --device raspberry-pi-5",
        "device 'raspberry-pi-5' is simulated, so it cannot be",
        "use a real device: --device local-cpu",
        5,
    ),
    line("profile model.onnx --device locale-cpu", "unknown device 'locale-cpu'", "did you mean 'local-cpu'?"),
    line("analyse absent.onnx", "there is no model file 'absent.onnx'", "give the path of an .onnx file"),
    line("analyse job.yaml --bits 9", "no such option --bits", "did you mean '--batch'?"),
    line("serve --port 99999", "--port: ", "write: --port 8700"),
    line("serve --port http", "--port: ", "write: --port 8700"),
    line("serve --hots 0.0.0.0", "no such option --hots", "did you mean '--host'?"),
    line("devices lst", "no such command 'lst'", "did you mean 'list'?"),
    line("devices show locale-cpu", "there is no device 'locale-cpu'", "did you mean 'local-cpu'?", 3),
    line(
        "devices capability raspberry-pi-5",
        "device 'raspberry-pi-5' is simulated: there is nothing",
        "probe one that measures, such as this machine: paretune",
        5,
    ),
    line(
        "devices add absent.toml",
        "file absent.toml does not exist",
        "describe a machine there with: paretune devices probe --output NAME.toml",
    ),
    line(
        "devices add job.yaml",
        "job.yaml is not TOML: Expected '=' after a key in a",
        "describe a machine there with: paretune devices probe --output NAME.toml",
    ),
    line(
        "devices remove local-cpu",
        "device 'local-cpu' ships with Paretune and cannot be removed",
        "only devices that you added, and remote ones, can be removed",
    ),
    line("devices remove nothing", "there is no device 'nothing'", "known: a10, a100", 3),
    line(
        "devices revoke nothing", "there is no database", "check --db, PARETUNE_DB and PARETUNE_HOME; make one with:", 3
    ),
    line("devices probe --output x.json", "--output: ", "name it like my-laptop.toml, in lower case"),
    line("devices token My_Pi", "'My Pi' is not a valid device name", "use letters, digits, dots and dashes"),
    line(
        "devices token raspberry-pi-5",
        "'raspberry-pi-5' is a built-in device model",
        "name your board otherwise, e.g. my-raspberry-pi-5",
    ),
    line("agent", "missing option '--server'", "write: --server VALUE; all options: paretune agent --help"),
    line(
        "agent --server http://h --token-file absent --device pi",
        "--token-file: ",
        "create a token on the server with: paretune devices token NAME",
    ),
    line("examples digit", "there is no example 'digit'", "did you mean 'digits'?", 3),
    line("examples -o x.yaml", "--output: ", "write: paretune examples digits -o digits.yaml"),
    line("docs job-fiel", "there is no page 'job-fiel'", "did you mean 'job-file'?", 3),
    line("help fronts", "no such command 'fronts'", "did you mean 'front'?"),
    line("schema -o job.yaml", "-o: ", "write: paretune schema -o paretune.schema.json"),
    line("db upgrad", "no such command 'upgrad'", "did you mean 'upgrade'?"),
)
