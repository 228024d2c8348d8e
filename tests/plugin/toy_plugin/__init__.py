"""Techniques as a user's own package brings them."""
