"""Registries: what ships, and what a user's own package adds by an entry point."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace
from typing import Any

import pytest

from hwprofiles import find_device, installed
from hwprofiles import plugins as module
from hwprofiles.plugins import Registry
from search.gains.runtimes import possible_runtimes
from search.strategies import STRATEGIES, RandomSearch
from search.techniques import TECHNIQUES

POINTS = EntryPoints(
    [
        EntryPoint("fraction", "fractions:Fraction", "example.numbers"),
        EntryPoint("one", "decimal:Decimal", "example.numbers"),
        EntryPoint("gone", "no_such_package:Thing", "example.numbers"),
        EntryPoint("elsewhere", "decimal:Decimal", "example.others"),
    ]
)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    monkeypatch.setattr(module, "installed_plugins", lambda group: POINTS.select(group=group))
    return Registry("example.numbers", {"one": int, "two": float})


def test_what_ships(registry: Registry[Any]) -> None:
    assert (registry["one"], registry["two"]) == (int, float)


def test_what_a_package_adds(registry: Registry[Any]) -> None:
    from fractions import Fraction

    assert registry["fraction"] is Fraction


def test_what_ships_is_never_replaced(registry: Registry[Any]) -> None:
    assert registry["one"] is int
    assert list(registry).count("one") == 1


def test_names_are_listed_without_importing_anything(registry: Registry[Any]) -> None:
    assert list(registry) == ["one", "two", "fraction", "gone"]
    assert len(registry) == 4


def test_another_group_is_another_registry(registry: Registry[Any]) -> None:
    assert "elsewhere" not in registry


def test_an_unknown_name(registry: Registry[Any]) -> None:
    assert "three" not in registry
    assert registry.get("three") is None
    with pytest.raises(KeyError, match="three"):
        registry["three"]


def test_a_package_that_cannot_be_imported(registry: Registry[Any]) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        registry["gone"]


def test_the_mapping_that_it_was_made_of_stays_apart() -> None:
    shipped: dict[str, type] = {"one": int}
    registry: Registry[Any] = Registry("example.numbers", shipped)
    shipped["one"] = float
    assert registry["one"] is int


def test_the_groups_that_are_documented() -> None:
    assert STRATEGIES["random"] is RandomSearch
    assert STRATEGIES.group == "paretune.strategies"
    assert TECHNIQUES.group == "paretune.techniques"


def test_a_package_adds_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's profile then lists it, and the search may choose it; what ships cannot be replaced."""
    from evaluators.runtimes import RUNTIMES, NullRuntime

    places = {"slow": "evaluators.runtimes.null:NullRuntime", "onnxruntime": "decimal:Decimal"}
    distribution = SimpleNamespace(version="1.2")
    points = [
        SimpleNamespace(name=name, dist=distribution, load=EntryPoint(name, place, installed.RUNTIMES_GROUP).load)
        for name, place in places.items()
    ]

    def installed_plugins(group: str) -> list[Any]:
        return points if group == installed.RUNTIMES_GROUP else []

    before = installed.processor_runtimes()
    monkeypatch.setattr(module, "installed_plugins", installed_plugins)
    monkeypatch.setattr(installed, "installed_plugins", installed_plugins)
    assert RUNTIMES["slow"] is NullRuntime
    assert RUNTIMES["onnxruntime"] is not Decimal
    assert installed.processor_runtimes() == (*before, ("slow", "1.2"))
    profile = replace(find_device("local-cpu"), runtimes=installed.processor_runtimes())
    assert "slow" in possible_runtimes(profile)
