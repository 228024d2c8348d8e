"""Descriptions of fields for editors, where the field's own model has none."""

from __future__ import annotations

_SEED = "Seed of the random numbers."

DESCRIPTIONS = {
    "": {
        "version": "Version of this format.",
        "name": "A name for people; commands accept it in place of the job's id.",
        "task": "What to compress.",
        "devices": "Where to measure: names, or names with threads and batch.",
        "objectives": "What is better: each a metric, and max or min.",
        "constraints": "What must hold, such as 'accuracy >= baseline - 0.01'.",
        "space": "Techniques and their options; null: those that need no training.",
        "recovery": "How changed modules are trained; null: not at all.",
        "filters": "Filters by name: changed modules that they refuse are neither trained nor measured.",
        "strategy": "How candidates are proposed.",
        "budget": "When to stop.",
        "limits": "Time and memory limits of each stage.",
        "seed": _SEED,
    },
    "Budget": {
        "trials": "Most candidates to try.",
        "minutes": "Time for everything: preparing, searching and the final measurements; null: no limit.",
        "batch": "Candidates proposed at once; null: the strategy's default.",
        "parallel": "Candidates in work at the same time; changes no result.",
    },
    "DeviceSpec": {
        "name": "A device's name; list them with: paretune devices list",
        "threads": "Cores that it may use.",
        "batch": "Samples in one inference.",
    },
    "Limits": {
        "training_s": "Seconds for the training of a candidate.",
        "exporting_s": "Seconds for exporting the model.",
        "building_s": "Seconds for building a candidate's file.",
        "measuring_s": "Seconds for each measurement, and for evaluating quality.",
        "device_s": "Seconds of silence after which a remote device is given up.",
        "memory_bytes": "Memory of a stage's process; null: no limit.",
        "gpus": "GPUs that a trial takes of a node of a Ray cluster.",
    },
    "ObjectiveSpec": {
        "metric": "A metric, such as accuracy, speedup or latency_ms.p90.",
        "direction": "Whether larger (max) or smaller (min) is better.",
        "device": "With several devices: the one whose figure is meant.",
        "aggregate": "With several devices: how their figures become one.",
    },
    "Recipe": {
        "epochs": "Passes over the training data.",
        "batch": "Samples in a step.",
        "learning_rate": "Largest learning rate.",
        "weight_decay": "Weight decay of the optimiser.",
        "losses": "Losses by name, each with a weight or with its options.",
        "precision": "Number format of the training.",
        "seed": _SEED,
    },
    "StrategySpec": {"name": "The strategy.", "options": "The strategy's own options."},
    "TaskSpec": {
        "name": "digits, onnx, ./my_task.py:make_task or package.module:make_task.",
        "options": "The task's own options, or the function's keyword arguments.",
    },
    "technique.pruning": {
        "schedule": "Whether channels are removed at once or in rounds.",
        "slimming_epochs": "Epochs of slimming.",
    },
    "technique.sparsity": {"schedule": "Whether weights become zero at once, in rounds, or little by little."},
    "technique.graph": {"choices": "The graph as it is (plain), or with transformer blocks fused."},
    "technique.precision": {"calibration_samples": "Samples that calibrate activations."},
    "strategy.nsga2": {"crossover": "Probability that a child has two parents."},
    "task.digits": {
        "preset": "bench: a narrow network on small images.",
        "model": "The network.",
        "size": "Pixels along each side.",
        "epochs": "Epochs of the teacher's training.",
        "seed": _SEED,
        "false_negatives": "Classes whose fnr:CLASS is measured.",
    },
    "task.onnx": {
        "model": "The model file (.onnx), from the job file's folder.",
        "data": "Samples of its inputs (.npz).",
    },
}
"""Texts by definition of the schema (empty: the job itself) and field."""
