"""Completion in a shell: of commands and options, and of names that :mod:`dashboards.cli.completion` looks up.

It must answer while a person waits, and needs only the signatures of the commands. So what their modules import is
replaced by placeholders meanwhile, except for the command line itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

VARIABLE = "_PARETUNE_COMPLETE"
"""Environment variable by which a shell asks for completions."""

_REPLACED = ("dashboards", "search", "evaluators", "hwprofiles", "numpy", "rich")
_KEPT = ("dashboards", "dashboards.cli")


class _Anything(type):
    """A class whose attributes, calls and elements are placeholders too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _placeholder(name)

    def __call__(cls, *_: Any, **__: Any) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __format__(cls, _: str) -> str:
        return "…"


def _placeholder(name: str) -> Any:
    return _Anything(name, (), {})


class _Placeholder(ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _placeholder(name)


class _Placeholders(MetaPathFinder, Loader):
    """Finds a placeholder in place of each large module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Returns a placeholder's specification; None for modules that are imported as usual."""
        kept = fullname in _KEPT or fullname.startswith("dashboards.cli.")
        if kept or fullname.partition(".")[0] not in _REPLACED:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the placeholder."""
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed."""


@contextmanager
def _only_signatures() -> Iterator[None]:
    """Imports placeholders in the block; afterwards the real modules can be imported."""
    finder = _Placeholders()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Placeholder)]:
            del sys.modules[name]


def complete() -> None:
    """Prints completions, as the shell's environment variables ask, and exit."""
    import typer  # noqa: F401 - with its own imports, before placeholders take their place

    with _only_signatures():
        from dashboards.cli.commands import build_app

        app = build_app()
    app(args=[], prog_name="paretune")
