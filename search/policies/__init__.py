"""Policies: distributions over choices that learn by REINFORCE from rewards."""
