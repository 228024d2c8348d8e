"""Tables of models at widths between those that were timed."""

from __future__ import annotations

import pytest

from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime
from evaluators.probing.table_interpolation import TableInterpolation
from hwprofiles import Precision

FP32, INT8 = Precision.FP32, Precision.INT8


def table(first: float, second: float, whole: float) -> LayerTable:
    """Two layers in a row: int8 takes half of fp32's time, and nothing costs anything at its ends but a conversion."""

    def unit(name: str, time: float) -> Unit:
        times = {one.value: UnitTime(one, time * share, None, None, None) for one, share in ((FP32, 1.0), (INT8, 0.5))}
        return Unit(name, (f"/{name}",), name, times, {"float": 0.0, "integer": 0.0})

    between = Tensor(100, (0,), (1,), False, False, {"float": 0.0, "integer": 0.25})
    return LayerTable((unit("a", first), unit("b", second)), (between,), whole, 0.0, 1.0)


WHOLE, HALF = table(8.0, 4.0, 13.0), table(3.0, 1.0, 4.5)
TABLES = TableInterpolation([(WHOLE, {}), (HALF, {"/a": 0.5, "/b": 0.25})])


def time_of(found: LayerTable, **values: str) -> float:
    estimate = found.estimate(values)
    assert estimate is not None
    return estimate.yardsticks


def test_what_was_timed_is_given_back() -> None:
    assert time_of(TABLES.at({})) == time_of(WHOLE) == 13.0
    layers = TABLES.at({"/a": 0.5, "/b": 0.25}).layers({})
    assert layers is not None
    assert layers.yardsticks == 4.0


def test_between_them_a_layer_s_time_follows_its_work() -> None:
    layers = TABLES.at({"/a": 0.75}).layers({})
    assert layers is not None
    assert layers.yardsticks == pytest.approx(5.5 + 4.0)
    layers = TABLES.at({"/a": 0.75}).layers({"a": "int8", "b": "int8"})
    assert layers is not None
    assert layers.yardsticks == pytest.approx((5.5 + 4.0) / 2)


def test_below_the_narrowest_it_stays() -> None:
    layers = TABLES.at({"/a": 0.1, "/b": 0.1}).layers({})
    assert layers is not None
    assert layers.yardsticks == pytest.approx(3.0 + 1.0)


def test_a_layer_that_is_left_out_takes_no_time() -> None:
    layers = TABLES.at({"/a": 0.0}).layers({})
    assert layers is not None
    assert layers.yardsticks == pytest.approx(4.0)


def test_what_is_no_layer_shrinks_too() -> None:
    found = TABLES.at({"/a": 0.25, "/b": 0.25})
    layers = found.layers({})
    assert layers is not None
    assert found.whole == pytest.approx(layers.yardsticks + (13.0 - 12.0) * 0.5)
    assert found.tensors[0].elements == 50
