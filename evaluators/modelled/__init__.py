"""Metrics without measuring: made-up ones of dry runs, and bounds from peak rates."""
