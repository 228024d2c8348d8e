"""Metrics without measuring: dry runs, and bounds from a description's peaks."""
