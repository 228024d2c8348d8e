"""Installs the package of a user's own that ``tests/plugin`` holds, for this process and for those it starts."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "plugin"
PROJECT = tomllib.loads((SOURCES / "pyproject.toml").read_text())["project"]


def install(folder: Path) -> str:
    """Writes into ``folder`` what pip writes for an editable package; returns the ``PYTHONPATH`` that finds it."""
    info = folder / f"toy_plugin-{PROJECT['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n")
    lines = [
        line
        for group, points in PROJECT["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return os.pathsep.join(map(str, [folder, SOURCES, SOURCES.parent / "builders", SOURCES.parents[1]]))
