"""Names of modules in the exported ONNX file."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evaluators.graphs.layer_groups import join_names, number_names


def onnx_path(model: nn.Module, module: str) -> list[str]:
    """Lists the exporter's scopes of a module, outermost first.

    The name of a numbered child includes its parent's (``blocks.0``); lists have no scope, since they are never called.
    """
    scopes: list[str] = []
    current, last = model, ""
    for part in module.split("."):
        last = f"{last}.{part}" if part.isdecimal() and last else part
        current = current.get_submodule(part)
        if not isinstance(current, nn.ModuleList | nn.ModuleDict):
            scopes.append(last)
    return scopes


def layers_by_scope(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> dict[str, str]:
    """Finds the layers of these kinds by the prefix of their nodes' names."""
    return {
        "/" + "/".join(onnx_path(model, name)): name
        for name, part in model.named_modules()
        if name and isinstance(part, kinds)
    }


def unique_names(model: nn.Module, groups: Sequence[Sequence[str]]) -> list[str]:
    """Names each list of modules as :func:`evaluators.graphs.layer_groups.layer_groups` names their nodes; numbers
    equal names."""
    return number_names(join_names([onnx_path(model, module) for module in modules]) for modules in groups)
