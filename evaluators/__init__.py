"""A model in, measurements out."""
