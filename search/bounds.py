"""Upper bounds of the numbers in job files: far above what is useful, so that none exhausts memory or overflows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST = 1_000_000
"""Candidates of a job, minutes, epochs, samples, rounds: whatever is counted one after the other."""

MOST_AT_ONCE = 10_000
"""Candidates or samples that are held in memory together."""

MOST_THREADS = 4096
"""Threads, trainings and GPUs of one machine."""

MOST_SECONDS = 10_000_000
"""Of a stage: 115 days."""

MOST_BYTES = 2**50
"""Of memory: 1 PiB."""

MOST_SEED = 2**63 - 1
"""The largest that all random generators take."""

MOST_CLASSES = 1_000_000
LARGEST = 1e9
"""Of weights, rates and temperatures."""

MOST_ITEMS = 100
"""Of a list in a job file: devices, objectives, choices."""

LONGEST = 255
"""Characters of a name."""

LONGEST_TEXT = 1000
"""Characters of a constraint, or of a place in a file."""

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Name = Annotated[str, Field(max_length=LONGEST)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
