"""Errors as Python users see them: arguments in place of options, and the hint below the traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hwprofiles.errors import ParetuneError


@contextmanager
def hints_shown() -> Iterator[None]:
    """Names arguments in an error's message, and add its hint to the traceback."""
    try:
        yield
    except ParetuneError as error:
        error.message = re.sub(r"^--([a-z-]+): ", lambda match: f"{match[1].replace('-', '_')}: ", error.message)
        error.args = (error.message,)
        error.hint = re.sub(r"^write: --([a-z-]+) (.*)", r"write: \1=\2; all arguments: help(paretune.run)", error.hint)
        note = f"hint: {error.hint}"
        if error.hint and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise
