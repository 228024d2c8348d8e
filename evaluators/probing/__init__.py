"""Asks a device about single operators and layers: what runs there, and what is faster."""
