"""The command that prints the example jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err, print_rows
from dashboards.shipped import example_summary, find_example
from dashboards.shipped import examples as shipped_examples
from hwprofiles.errors import InvalidInput, StorageError


def examples(
    name: Annotated[str | None, typer.Argument(help="The example to print; default: list them.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write it to this file instead.", show_default=False)
    ] = None,
) -> None:
    """Print an example job, write it to a file, or list the examples."""
    if name is None:
        if output is not None:
            raise InvalidInput("--output: no example is named", "write: paretune examples digits -o digits.yaml")
        rows = [{"name": known, "what": example_summary(path)} for known, path in shipped_examples().items()]
        print_rows("", rows, {"name": "example", "what": "what it is"}, "")
        save = "paretune examples digits -o digits.yaml && paretune run digits.yaml"
        err.print(f"save and run one with: {save}", soft_wrap=True)
        return
    text = find_example(name).read_text(encoding="utf-8")
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(f"{output} exists already", "choose another name, or remove that file") from None
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror}", "choose a writable folder") from None
    err.print(f"wrote {output}", soft_wrap=True)
