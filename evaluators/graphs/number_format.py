"""Number formats of few bits: symmetric integers and small floats, as one rounding rule with three parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwprofiles.errors import InvalidInput

INTEGER = re.compile(r"int([2-8])")
FLOAT = re.compile(r"e([1-8])m([0-7])")

USUAL = ("int2", "int3", "int4", "int5", "int6", "int7", "int8", "e2m1", "e2m2", "e3m2", "e4m3", "e5m2")
"""The formats that are named in the papers; any other ``e<E>m<M>`` can be written too."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class NumberFormat:
    """A sign and ``bits - 1`` further bits.

    Its values are the multiples of ``2 ** (max(floor(log2|x|), exponent) - mantissa)`` up to ``largest``, to both
    sides: a float's ``exponent`` is that of its smallest normal number, an integer's is beyond its largest value, so
    that all steps are 1. Rounding is to the nearest, ties to the even one; what lies beyond ``largest`` becomes it.

    ``int<B>`` is symmetric, without the value that has no opposite. ``e<E>m<M>`` has subnormals and no infinity; E4M3
    keeps one code, and formats of 5 and more exponent bits the highest exponent, for what is no number, as in
    Micikevicius et al., *FP8 formats for deep learning* (2022); narrower ones use all codes, as in the Open Compute
    Project's *Microscaling formats* (2023).

    >>> number_format("e2m1").values[-3:]
    (3.0, 4.0, 6.0)
    """

    name: str
    bits: int
    exponent: int
    mantissa: int
    largest: float

    @property
    def is_integer(self) -> bool:
        """Whether all its steps are equal."""
        return self.name.startswith("int")

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Its values from 0 up."""
        found, value = [0.0], 0.0
        while value < self.largest:
            value += float(2.0 ** (max(int(np.floor(np.log2(value))) if value else self.exponent, self.exponent)
                                   - self.mantissa))  # fmt: skip
            found.append(value)
        return tuple(found)

    def rounded(self, values: Floats) -> Floats:
        """The nearest values of the format, of ``values``' own shape and type; NaN stays NaN."""
        limited = np.clip(values, -self.largest, self.largest)
        exponents = np.frexp(limited)[1] - 1
        steps = np.exp2(np.maximum(exponents, self.exponent) - self.mantissa).astype(values.dtype)
        return np.asarray(np.rint(limited / steps) * steps, values.dtype)


def number_format(name: str) -> NumberFormat:
    """The format of this name; raises :class:`InvalidInput` for any other text."""
    integer, small = INTEGER.fullmatch(name.lower()), FLOAT.fullmatch(name.lower())
    if integer:
        bits = int(integer[1])
        return NumberFormat(name.lower(), bits, bits - 1, bits - 1, 2.0 ** (bits - 1) - 1)
    if small and int(small[1]) + int(small[2]) <= 15:
        exponent, mantissa = int(small[1]), int(small[2])
        bias = 2 ** (exponent - 1) - 1
        highest = 2**exponent - 1 - bias
        last = 2.0 - 2.0**-mantissa
        if exponent >= 5:
            highest -= 1
        elif (exponent, mantissa) == (4, 3):
            last -= 2.0**-mantissa
        if highest >= 1 - bias and last > 0:
            return NumberFormat(name.lower(), 1 + exponent + mantissa, 1 - bias, mantissa, last * 2.0**highest)
    raise InvalidInput(
        f"{name!r} is no number format",
        f"use one of {', '.join(USUAL)}, or e<E>m<M> with E from 1 to 8 and M from 0 to 7",
    )
