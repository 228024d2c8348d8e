"""Measures latency, throughput, memory, energy and quality in a process of its own."""
