"""Measures latency, throughput, memory, energy and quality in a child process."""
