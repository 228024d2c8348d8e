"""Devices that can be asked to measure, and the requests that they answer."""
