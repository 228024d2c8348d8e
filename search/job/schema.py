"""The JSON Schema of the job file, for editors: all registered names, and the options of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from evaluators.metrics import METRICS
from evaluators.runtimes import RUNTIMES
from hwprofiles.registry import device_origins
from search.bounds import LARGEST, MOST_ITEMS
from search.criterion_names import CRITERIA
from search.filters import FILTERS
from search.job.descriptions import DESCRIPTIONS
from search.job.spec import Job
from search.strategies import STRATEGIES
from search.tasks import TASKS
from search.techniques import TECHNIQUES, own_metrics
from search.training.loss_names import LOSSES

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Json:
    """JSON Schema of the job file, including its short forms."""
    schema = Job.model_json_schema(mode="validation")
    definitions, fields = schema["$defs"], schema["properties"]
    techniques = _options_of({name: TECHNIQUES[name].Options for name in TECHNIQUES}, definitions, "technique")
    strategies = _options_of({name: STRATEGIES[name].Options for name in STRATEGIES}, definitions, "strategy")
    tasks = _options_of({name: TASKS[name].Options for name in TASKS}, definitions, "task")
    fields["devices"]["items"] = {"anyOf": [{"type": "string"}, fields["devices"]["items"]]}
    sections = {name: {"anyOf": [options, {"type": "null"}]} for name, options in techniques.items()}
    text = "In place of a strategy: strategies that follow each other, each on the front of those before."
    stage = {"$ref": "#/$defs/strategy.staged.Stage"}
    fields["stages"] = {"type": "array", "minItems": 1, "maxItems": MOST_ITEMS, "items": stage, "description": text}
    definitions["strategy.staged.Stage"]["properties"]["strategy"]["enum"] = [n for n in strategies if n != "staged"]
    fields["space"]["anyOf"] = [
        {"type": "object", "properties": sections, "additionalProperties": False}, {"type": "null"},
    ]  # fmt: skip
    filters = _options_of({name: FILTERS[name].Options for name in FILTERS}, definitions, "filter")
    fields["filters"] |= {"properties": filters, "additionalProperties": False}
    fields["strategy"]["anyOf"] = [{"enum": list(strategies)}, {"$ref": fields["strategy"].pop("$ref")}]
    strategy, task, recipe = (definitions[name] for name in ("StrategySpec", "TaskSpec", "Recipe"))
    strategy["properties"]["name"]["enum"] = list(strategies)
    strategy["allOf"] = [_where(name, options, usual=name == "nsga2") for name, options in strategies.items()]
    task["properties"]["name"]["anyOf"] = [{"enum": list(tasks)}, {"pattern": ":"}]
    task["allOf"] = [_where(name, options) for name, options in tasks.items()]
    losses = recipe["properties"]["losses"]
    # Names alone: the options of losses stand in modules that import torch.
    weight = {"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST}
    section = {"anyOf": [weight, losses.pop("additionalProperties")]}
    losses["properties"] = dict.fromkeys(LOSSES, section)
    losses["additionalProperties"] = False
    _allow_short_forms(definitions)
    _offer_names(fields, definitions)
    for place, texts in DESCRIPTIONS.items():
        properties = definitions[place]["properties"] if place else fields
        for name, text in texts.items():
            properties[name].setdefault("description", text)
    return {"$schema": DIALECT, **schema}


def _options_of(models: Mapping[str, type[BaseModel]], definitions: Json, noun: str) -> dict[str, Json]:
    """Adds schemas of options to ``definitions``; returns references to them by name."""
    references = {}
    for name, model in models.items():
        key = f"{noun}.{name}"
        own = model.model_json_schema(mode="validation", ref_template=f"#/$defs/{key}.{{model}}")
        definitions |= {f"{key}.{inner}": part for inner, part in own.pop("$defs", {}).items()}
        definitions[key] = own
        references[name] = {"$ref": f"#/$defs/{key}"}
    return references


def _where(name: str, options: Json, *, usual: bool = False) -> Json:
    """Condition: ``options`` apply if the section has this name, for the ``usual`` one also if it has none."""
    required = {} if usual else {"required": ["name"]}
    return {
        "if": {"properties": {"name": {"const": name}}, **required},
        "then": {"properties": {"options": options}},
    }  # fmt: skip


def _offer_names(fields: Json, definitions: Json) -> None:
    """Adds the names that an editor offers; where users have names of their own, any other text stays right."""
    devices = {"anyOf": [{"enum": list(device_origins())}, {"type": "string"}]}
    fields["devices"]["items"]["anyOf"][0] = devices
    definitions["DeviceSpec"]["properties"]["name"] |= devices
    metrics = [*METRICS, *own_metrics(TECHNIQUES)]
    definitions["ObjectiveSpec"]["properties"]["metric"] |= {"anyOf": [{"enum": metrics}, {"type": "string"}]}
    definitions["technique.pruning"]["properties"]["criterion"]["enum"] = list(CRITERIA)
    runtimes = {"anyOf": [{"enum": list(RUNTIMES)}, {"type": "string"}]}
    definitions["technique.runtime"]["properties"]["choices"]["items"] |= runtimes


def _allow_short_forms(definitions: Json) -> None:
    """Adds the short forms that validators accept besides the fields' own types."""
    calibration = definitions["technique.precision"]["properties"]["calibration"]
    listed = {key: calibration.pop(key) for key in ("items", "minItems", "type") if key in calibration}
    calibration["anyOf"] = [listed, listed["items"]]
    choices = definitions["technique.sparsity"]["properties"]["choices"]
    share = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    choices["items"] = {"anyOf": [choices["items"], share]}
