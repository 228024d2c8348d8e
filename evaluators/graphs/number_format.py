"""Number formats of few bits: symmetric integers and small floats, with one rounding rule of three parameters."""

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
"""The formats used in papers; any other ``e<E>m<M>`` is valid too."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class NumberFormat:
    """A signed integer or floating-point format.

    Its values are the multiples of ``2 ** (max(floor(log2|x|), exponent) - mantissa)`` from ``-largest`` to
    ``largest``. Rounding is to nearest, ties to even; values beyond ``largest`` are clipped.

    ``int<B>`` is symmetric: the lowest code is not used. ``e<E>m<M>`` has subnormals and no infinity. E4M3 reserves one
    code for NaN, and formats with 5 or more exponent bits the highest exponent, as in Micikevicius et al., *FP8 formats
    for deep learning* (2022); other formats use all codes, as in the Open Compute Project's *Microscaling formats*
    (2023).

    >>> number_format("e2m1").values[-3:]
    (3.0, 4.0, 6.0)
    """

    name: str
    bits: int
    """All bits, with the sign."""
    exponent: int
    """Exponent of a float's smallest normal number; of an integer one beyond its largest value: all steps are 1."""
    mantissa: int
    """Bits of the mantissa."""
    largest: float
    """The largest value."""

    @property
    def is_integer(self) -> bool:
        """Whether all steps between values are equal."""
        return self.name.startswith("int")

    @cached_property
    def values(self) -> tuple[float, ...]:
        """All values of the format that are not negative, ascending."""
        values, value = [0.0], 0.0
        while value < self.largest:
            value += float(2.0 ** (max(int(np.floor(np.log2(value))) if value else self.exponent, self.exponent)
                                   - self.mantissa))  # fmt: skip
            values.append(value)
        return tuple(values)

    def round(self, values: Floats) -> Floats:
        """Rounds to the nearest values of the format, keeping shape and type; NaN stays NaN."""
        limited = np.clip(values, -self.largest, self.largest)
        exponents = np.frexp(limited)[1] - 1
        steps = np.exp2(np.maximum(exponents, self.exponent) - self.mantissa).astype(values.dtype)
        return np.asarray(np.rint(limited / steps) * steps, values.dtype)


def number_format(name: str) -> NumberFormat:
    """Returns the format of a name such as ``int8`` or ``e4m3``; raises :class:`InvalidInput` for other names."""
    integer, floating = INTEGER.fullmatch(name.lower()), FLOAT.fullmatch(name.lower())
    if integer:
        bits = int(integer[1])
        return NumberFormat(name.lower(), bits, bits - 1, bits - 1, 2.0 ** (bits - 1) - 1)
    if floating and int(floating[1]) + int(floating[2]) <= 15:
        exponent, mantissa = int(floating[1]), int(floating[2])
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
