"""``docs/extending.md``: the example of each section passes the conformance suite of its family."""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from evaluators.devices import evaluators
from evaluators.metrics import METRICS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text()
PYTHON = re.compile(r"^```python (runnable|suite)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENTRY_POINTS = re.search(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PACKAGE = "my_package"


def execute(text: str, name: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(text, name, "exec"), vars(module))
    return module


def examples() -> Iterator[tuple[ModuleType, ModuleType]]:
    """Executes the modules and test classes of the sections that have both: in files of a package, as it were."""
    blocks = PYTHON.findall(PAGE)
    for (tag, text), (following, suite) in itertools.pairwise(blocks):
        if (tag, following) == ("runnable", "suite"):
            (name,) = re.findall(rf"^from ({PACKAGE}\.\w+) import", suite, re.MULTILINE)
            module = sys.modules[name] = execute(text, name)
            try:
                yield module, execute(suite, f"test_{name}")
            finally:
                del sys.modules[name]


EXAMPLES = list(examples())
MODULES = {module.__name__: module for module, _ in EXAMPLES}
for _, test_module in EXAMPLES:
    globals().update({name: value for name, value in vars(test_module).items() if name.startswith("Test")})


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed, with the entry points of the page, and the lines of the metric are written."""
    assert ENTRY_POINTS is not None
    groups = tomllib.loads(ENTRY_POINTS[1])["project"]["entry-points"]

    def installed_plugins(group: str) -> list[Any]:
        return [SimpleNamespace(name=key, load=partial(load, place)) for key, place in groups.get(group, {}).items()]

    monkeypatch.setattr("hwprofiles.plugins.installed_plugins", installed_plugins)
    monkeypatch.setitem(METRICS, "operators", load(f"{PACKAGE}.operators:OPERATORS"))
    added = (*evaluators.FILE_EVALUATORS, load(f"{PACKAGE}.operators:OperatorEvaluator"))
    monkeypatch.setattr(evaluators, "FILE_EVALUATORS", added)


def load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(MODULES[module], name)


def test_each_family_with_a_suite_has_an_example() -> None:
    suites = set(re.findall(r"^from ((?:search|evaluators)\.testing\.\w+) import", PAGE, re.MULTILINE))
    root = Path(__file__).resolve().parents[2]
    shipped = {
        f"{package}.testing.{path.stem}" for package in ("search", "evaluators")
        for path in (root / package / "testing").glob("[a-z]*.py")
    }  # fmt: skip
    assert suites == shipped - {"search.testing.nets", "search.testing.watching", "evaluators.testing.fake_device"}
