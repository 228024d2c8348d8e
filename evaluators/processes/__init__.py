"""Sandboxed child processes, and locks between processes that measure."""
