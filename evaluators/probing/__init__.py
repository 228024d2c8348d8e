"""Benchmarks single operators and layers on a device: what it executes, and what is faster."""
