"""Devices that measure, their evaluators, and requests to remote devices."""
