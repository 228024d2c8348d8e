"""Benchmarks of a whole model and of its layers on a device: which settings are faster there."""
