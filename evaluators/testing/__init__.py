"""Conformance suites for the test classes of further runtimes; they need pytest."""
