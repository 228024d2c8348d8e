"""Conformance suites for the test classes of plugins; they need pytest."""
