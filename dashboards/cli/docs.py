"""The command that prints the documentation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markdown import Markdown

from dashboards.cli.console import err, out, print_rows
from dashboards.shipped import find_page, page_title, pages


def docs(
    topic: Annotated[str | None, typer.Argument(help="The page to print; default: list them.")] = None,
) -> None:
    """Print a page of the documentation, or list the pages."""
    if topic is None:
        rows = [{"topic": name, "title": page_title(path)} for name, path in pages().items()]
        print_rows("", rows, {"topic": "topic", "title": "title"}, "")
        err.print("read one with: paretune docs TOPIC", soft_wrap=True)
        return
    text = find_page(topic).read_text(encoding="utf-8")
    if out.is_terminal:
        out.print(Markdown(text, hyperlinks=False))
    else:
        sys.stdout.write(text)
