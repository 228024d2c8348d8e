"""Commands about policies that searches learnt, stored on this machine for later jobs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err, print_fields
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Format, print_json
from dashboards.figures import moment
from dashboards.words import Json
from search.policy_store import PolicyStore, StoredPolicies

PolicyName = Annotated[str, typer.Argument(help="The policies' name, from a job's option save.", show_default=False)]
PolicyFile = Annotated[Path, typer.Argument(help="A file of policies.", show_default=False)]


def policies_list(format: AsFormat = Format.TABLE) -> None:
    """List the policies that jobs may begin with."""
    policies = [_document(policies) for policies in PolicyStore().all()]
    if format is Format.JSON:
        print_json({"policies": policies})
        return
    own = ("name", "strategy", "teacher", "family", "reward", "devices", "rollouts")
    columns = {**{key: key for key in own}, "best_reward": "best reward", "saved_at": "saved", "job": "job"}
    print_list(
        list(map(_row, policies)), columns, "no policies; a job stores them with the option save of n2n", cut=["family"]
    )


def policies_show(name: PolicyName, format: AsFormat = Format.TABLE) -> None:
    """Show where policies learnt."""
    policies = PolicyStore().find(name)
    if format is Format.JSON:
        print_json(_document(policies) | {"encodings": policies.model_dump(mode="json")["encodings"]})
    else:
        print_fields(_row(_document(policies)))


def policies_export(name: PolicyName, file: PolicyFile) -> None:
    """Write policies to a file, for another machine."""
    PolicyStore().export_file(name, file)
    err.print(f"wrote {file}", soft_wrap=True, markup=False)


def policies_import(
    file: PolicyFile,
    name: Annotated[str | None, typer.Option(help="Store them under this name.", show_default=False)] = None,
) -> None:
    """Store the policies of a file on this machine."""
    policies = PolicyStore().import_file(file, name)
    err.print(f"stored policies {policies.name}; a job begins with them by the option start", markup=False)


def policies_remove(name: PolicyName) -> None:
    """Remove policies from this machine."""
    PolicyStore().remove(name)
    err.print(f"removed {name}", markup=False)


def _document(policies: StoredPolicies) -> Json:
    parameters = {
        name: sum(math.prod(weights.shape) for weights in network.values())
        for name, network in policies.networks.items()
    }
    return {**policies.model_dump(mode="json", exclude={"networks", "encodings"}), "networks": parameters}


def _row(document: Json) -> Json:
    best = document["best_reward"]
    return {
        **document,
        "family": document["family"] or None,
        "choices": ", ".join(f"{name} {count}" for name, count in document["choices"].items()) or None,
        "devices": ", ".join(document["devices"]),
        "networks": ", ".join(document["networks"]),
        "best_reward": None if best is None else f"{best:.3f}",
        "saved_at": moment(document["saved_at"]),
    }
