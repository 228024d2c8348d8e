"""Small models of every kind that a user may bring, each with data to feed it."""

from __future__ import annotations

import animals_convolutional
import animals_from_torch
import animals_of_open_shapes
import animals_of_products
import animals_of_sequences
from animals import ANIMALS, Animal
from animals_from_torch import exported

FAMILIES = (
    animals_convolutional, animals_of_products, animals_of_sequences, animals_of_open_shapes, animals_from_torch,
)  # fmt: skip

__all__ = ["ANIMALS", "FAMILIES", "Animal", "exported"]
