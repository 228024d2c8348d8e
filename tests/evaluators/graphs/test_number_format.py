"""Number formats against types that others have made of them, bit for bit, and against a search for the nearest."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluators.graphs.number_format import USUAL, NumberFormat, number_format
from hwprofiles.errors import InvalidInput
from search.training.rounding import round_to_format

Floats = NDArray[np.float32]

ORACLES: dict[str, Any] = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e8m7": ml_dtypes.bfloat16,
}
TORCH_ORACLES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "e8m7": torch.bfloat16}
INTEGERS = tuple(name for name in USUAL if name.startswith("int"))
CUSTOM = ("e2m2", "e3m1", "e2m0", "e5m1", "e1m2", "e1m0", "e4m0", "e3m3", "e5m3")


def mixed(form: NumberFormat, seed: int = 0) -> Floats:
    """Values of all magnitudes that the format knows and of smaller ones; none far beyond its largest."""
    rng = np.random.default_rng(seed)
    least = form.exponent - form.mantissa - 3
    powers = rng.uniform(max(least, -140), np.log2(form.largest), 20_000)
    return (rng.choice([-1.0, 1.0], powers.size) * 2.0**powers).astype(np.float32)


def edges(form: NumberFormat) -> Floats:
    """Zeros of both signs, every value and every midpoint of two up to the largest (of the largest formats some), each
    with its neighbours in float32, and numbers that only float32 has."""
    values = np.asarray(form.values if form.bits <= 9 else (*form.values[:300], *form.values[-300:]))
    middles = np.append((values[1:] + values[:-1]) / 2, values[1] / 4)
    found = np.concatenate([values, middles]).astype(np.float32)
    found = np.concatenate([found, np.nextafter(found, np.float32(0)), np.nextafter(found, np.float32(np.inf))])
    tiny = np.asarray([0.0, 1e-45, 1e-40, np.finfo(np.float32).tiny], np.float32)
    return np.concatenate([found, tiny, -found, -tiny])


def within(values: Floats, form: NumberFormat) -> Floats:
    return values[np.abs(values) <= form.largest]


def bits(values: Any) -> NDArray[np.uint32]:
    """What tells even the zeros apart."""
    return np.asarray(values, np.float32).view(np.uint32)


def by_torch(values: Floats, form: NumberFormat) -> Floats:
    return round_to_format(torch.from_numpy(values), form).numpy()


def nearest(value: float, values: NDArray[np.float64]) -> float:
    """Of ``values`` the one nearest to a magnitude; of two equally near ones that with the even code. IEEE 754, 4.3.1:
    where numbers have one digit, all but 0 are odd, and the larger magnitude is taken."""
    distances = np.abs(values - value)
    near = np.flatnonzero(distances == distances.min())
    if len(near) == 1:
        return float(values[near[0]])
    step = values[near[1]] - values[near[0]]
    return float(next(values[place] for place in near if values[place] / step % 2 == 0))


class TestAgainstOthers:
    """Beyond the largest value ours takes that, where the oracle's type has NaN or infinity; see below."""

    @pytest.mark.parametrize("name", ORACLES)
    def test_as_ml_dtypes_has_them(self, name: str) -> None:
        form = number_format(name)
        values = within(np.concatenate([mixed(form), edges(form)]), form)
        expected = bits(values.astype(ORACLES[name]).astype(np.float32))
        assert np.array_equal(bits(form.round(values)), expected)
        assert np.array_equal(bits(by_torch(values, form)), expected)

    @pytest.mark.parametrize("name", TORCH_ORACLES)
    def test_as_torch_has_them(self, name: str) -> None:
        form = number_format(name)
        values = within(np.concatenate([mixed(form, seed=1), edges(form)]), form)
        expected = bits(torch.from_numpy(values).to(TORCH_ORACLES[name]).float().numpy())
        assert np.array_equal(bits(form.round(values)), expected)
        assert np.array_equal(bits(by_torch(values, form)), expected)

    @pytest.mark.parametrize("name", [name for name in ORACLES if name != "e8m7"])
    def test_all_codes_of_the_other_type(self, name: str) -> None:
        codes = np.arange(2 ** number_format(name).bits, dtype=np.uint8).view(ORACLES[name]).astype(np.float32)
        values = number_format(name).values
        assert sorted(set(np.abs(codes[np.isfinite(codes)]))) == list(values)

    @pytest.mark.parametrize(("name", "largest"), [(name, ml_dtypes.finfo(kind).max) for name, kind in ORACLES.items()])
    def test_largest(self, name: str, largest: Any) -> None:
        assert number_format(name).largest == float(largest)

    @pytest.mark.parametrize("name", INTEGERS)
    def test_integers_are_clipped_and_rounded(self, name: str) -> None:
        form = number_format(name)
        top = 2 ** (int(name[3:]) - 1) - 1
        values = np.concatenate([mixed(form), edges(form), 3 * mixed(form, seed=2)])
        expected = bits(np.clip(np.rint(values), -top, top))
        assert np.array_equal(bits(form.round(values)), expected)
        assert np.array_equal(bits(by_torch(values, form)), expected)

    @pytest.mark.parametrize("name", [*CUSTOM, "e2m1", "e4m3", "int3"])
    def test_the_nearest_value_ties_to_even(self, name: str) -> None:
        form = number_format(name)
        values = within(np.concatenate([mixed(form)[:1500], edges(form)]), form)
        known = np.asarray(form.values)
        expected = np.asarray([np.copysign(nearest(float(abs(value)), known), value) for value in values], np.float32)
        assert np.array_equal(bits(form.round(values)), bits(expected))
        assert np.array_equal(bits(by_torch(values, form)), bits(expected))


class TestBeyondTheLargest:
    FAR = (1.001, 1.5, 1e3, 1e30, np.inf)

    @pytest.mark.parametrize("name", [*USUAL, *CUSTOM])
    def test_ours_saturates(self, name: str) -> None:
        form = number_format(name)
        values = np.asarray(self.FAR, np.float32) * np.float32(form.largest)
        values = np.concatenate([values, -values])
        expected = np.repeat(np.asarray([form.largest, -form.largest], np.float32), len(self.FAR))
        assert np.array_equal(form.round(values), expected)
        assert np.array_equal(by_torch(values, form), expected)

    @pytest.mark.parametrize("name", ["e4m3", "e5m2"])
    def test_where_the_other_type_has_no_number(self, name: str) -> None:
        far = np.asarray([1e6, np.inf], np.float32)
        assert not np.isfinite(far.astype(ORACLES[name]).astype(np.float32)).any()

    @pytest.mark.parametrize("name", [*USUAL, "e8m7"])
    def test_nan_stays(self, name: str) -> None:
        values = np.asarray([np.nan, 1.0], np.float32)
        form = number_format(name)
        assert np.isnan(form.round(values)).tolist() == [True, False]
        assert np.isnan(by_torch(values, form)).tolist() == [True, False]


class TestFormats:
    @pytest.mark.parametrize("name", [*USUAL, *CUSTOM])
    def test_its_values_are_what_rounding_gives(self, name: str) -> None:
        form = number_format(name)
        values = np.asarray(form.values, np.float32)
        assert np.array_equal(form.round(values), values)
        assert (values[0], values[-1]) == (0, form.largest)
        assert (np.diff(values) > 0).all()
        fine = np.linspace(0, min(form.largest, 64), 40_000, dtype=np.float32)
        assert set(form.round(np.append(fine, mixed(form)))) <= {*values, *-values}
        assert len(values) <= 2 ** (form.bits - 1)

    @pytest.mark.parametrize(
        ("name", "bits", "largest", "count"),
        [
            ("int2", 2, 1, 2), ("int4", 4, 7, 8), ("int8", 8, 127, 128), ("e2m1", 4, 6, 8), ("e2m2", 5, 7, 16),
            ("e3m2", 6, 28, 32), ("e4m3", 8, 448, 127), ("e5m2", 8, 57344, 124), ("e2m0", 3, 4, 4), ("e1m0", 2, 2, 2),
        ],
    )  # fmt: skip
    def test_bits_and_largest(self, name: str, bits: int, largest: float, count: int) -> None:
        form = number_format(name)
        assert (form.bits, form.largest, len(form.values)) == (bits, largest, count)
        assert form.is_integer is name.startswith("int")

    def test_names_in_capitals_are_the_same(self) -> None:
        assert number_format("E2M1") == number_format("e2m1")
        assert number_format("INT4").name == "int4"

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_shape_and_type_stay(self, dtype: Any) -> None:
        found = number_format("e2m1").round(np.full((2, 3, 1), 2.4, dtype))
        assert (found.shape, found.dtype) == ((2, 3, 1), dtype)
        assert (found == 2).all()

    def test_torch_answers_in_float32(self) -> None:
        for kind in (torch.bfloat16, torch.float16, torch.float64):
            found = round_to_format(torch.full((2, 3), 2.4, dtype=kind), number_format("e2m1"))
            assert (found.dtype, found.shape) == (torch.float32, (2, 3))
            assert (found == 2).all()

    @pytest.mark.parametrize(
        "name", ["", "int1", "int9", "int", "int4 ", "e0m3", "e9m1", "e2m8", "e8m8", "m1e2", "fp32", "float8", "int4\n"]
    )
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="is no number format") as refused:
            number_format(name)
        assert "e<E>m<M>" in refused.value.hint
        assert "\n" not in refused.value.message + refused.value.hint
