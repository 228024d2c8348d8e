"""Names of modules as the exported ONNX file has them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evaluators.graphs.layer_groups import join_names, number_names


def onnx_path(model: nn.Module, module: str) -> list[str]:
    """The scopes that the exporter gives a module, outermost first.

    A numbered child is called after its parent too (``blocks.0``), and lists, which are never called themselves, have
    no scope of their own.
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
    """The layers of these kinds, by what the names of their nodes begin with."""
    return {
        "/" + "/".join(onnx_path(model, name)): name
        for name, part in model.named_modules()
        if name and isinstance(part, kinds)
    }


def unique_names(model: nn.Module, groups: Sequence[Sequence[str]]) -> list[str]:
    """A name for each list of modules, as :func:`evaluators.graphs.layer_groups.layer_groups` would name their nodes;
    numbered where two are equal."""
    return number_names(join_names([onnx_path(model, module) for module in modules]) for modules in groups)
