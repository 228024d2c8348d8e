"""Exports a candidate with a receipt that compares claimed and measured figures."""
