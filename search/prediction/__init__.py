"""Latency from layer tables: before a candidate is measured, and on devices that cannot measure."""
