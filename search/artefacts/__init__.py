"""Artefacts: files by their content, in one place for all machines, with copies on each node."""
