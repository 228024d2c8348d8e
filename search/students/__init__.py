"""Students: a teacher as units that can be removed or narrowed, and the smaller modules that are made of it."""

from search.students.build import build_student, find_gone, find_outermost
from search.students.comparison import compare_layers
from search.students.plain_layers import PlainLayer
from search.students.units import Removal, Unit, find_units

__all__ = [
    "PlainLayer",
    "Removal",
    "Unit",
    "build_student",
    "compare_layers",
    "find_gone",
    "find_outermost",
    "find_units",
]
