"""Origin of a user's own task: a digest of its options and source files."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hwprofiles import digest_of, digest_of_file

MOST_FILES = 2000
"""Largest number of source files to follow; of a larger program only these count."""


def origin(name: str, options: Mapping[str, Any], folder: Path) -> str:
    """Computes a digest of a task's options, its source file, and all files that it imports, directly or indirectly,
    from its own folder or package.

    Runs no code, so that it is the same in every process. ``name`` is the name of an open task:
    ``./my_task.py:make_task``, or ``package.module:make_task``.
    """
    opened = _open(name, folder)
    if opened is None:
        return digest_of([name, dict(options)])
    sources, first = opened
    return digest_of(
        [dict(options), {str(file.relative_to(sources.root)): digest_of_file(file) for file in sources.of(first)}]
    )


def source_files(name: str, folder: Path) -> list[Path]:
    """Lists the source files of a task, as :func:`origin` follows them; none if they cannot be found."""
    opened = _open(name, folder)
    return [] if opened is None else opened[0].of(opened[1])


def _open(name: str, folder: Path) -> tuple[_Sources, Path] | None:
    """Returns the sources that a task's own file belongs to, and that file; None if it cannot be found."""
    place = name.rpartition(":")[0]
    if place.endswith(".py"):
        first = (folder / place).resolve()
        return _Sources(first.parent, None), first
    module = sys.modules.get(place)
    source = getattr(module, "__file__", None) or _file_of(place)
    if source is None:
        return None
    first = Path(source).resolve()
    depth = place.count(".") + (first.name == "__init__.py")
    # Of an installed package only its own files: the folder contains all other packages too.
    installed = "site-packages" in first.parts or first.is_relative_to(sys.prefix)
    return _Sources(first.parents[depth], place.partition(".")[0] if installed else None), first


def top_level_names(file: Path) -> set[str] | None:
    """Lists the names that a Python file defines, imports or assigns at top level, including in ``if`` and ``try``,
    without running it; None if that cannot be determined."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None
    names: set[str] = set()
    for node in _outer_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WRITES_NAMES:
            return None
    return None if "*" in names or "__getattr__" in names else names


_WRITES_NAMES = frozenset({"globals", "exec", "setattr", "vars", "locals"})


def _outer_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Iterates over all nodes outside of functions and classes."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _outer_nodes(node)


def _file_of(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


class _Sources:
    """Follows imports among the Python files below ``root``; only in ``package`` if that is given."""

    def __init__(self, root: Path, package: str | None) -> None:
        self.root, self._package = root, package

    def of(self, first: Path) -> list[Path]:
        """Collects ``first`` and all files that it imports, directly or indirectly; sorted."""
        sources, open_files = {first}, [first]
        while open_files and len(sources) < MOST_FILES:
            file = open_files.pop()
            for name in self._imports(file):
                for source in self._files(name):
                    if source not in sources:
                        sources.add(source)
                        open_files.append(source)
        return sorted(sources)

    def _imports(self, file: Path) -> Iterator[str]:
        """Iterates over the full names of imports, which may be modules or names in them."""
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return
        parts = file.relative_to(self.root).with_suffix("").parts
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = list(parts[: -node.level]) if node.level else []
                base = [*above, *([node.module] if node.module else [])]
                yield ".".join(base)
                yield from (".".join([*base, alias.name]) for alias in node.names)

    def _files(self, module: str) -> Iterator[Path]:
        """Iterates over the files of a module and of its packages, if they are below the root."""
        parts = module.split(".")
        if not module or (self._package is not None and parts[0] != self._package):
            return
        for count in range(1, len(parts) + 1):
            place = self.root.joinpath(*parts[:count])
            for file in (place / "__init__.py", place.with_name(place.name + ".py")):
                if file.is_file():
                    yield file.resolve()
