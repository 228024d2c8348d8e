"""The pages of documentation and the example jobs that come with the package."""

from __future__ import annotations

from pathlib import Path

from hwprofiles.errors import NotFound
from hwprofiles.suggestions import nearest

_PACKAGE = Path(__file__).parent


def pages() -> dict[str, Path]:
    """Returns the pages of documentation by topic, sorted."""
    return {path.stem: path for path in sorted(_folder("docs").glob("*.md"))}


def examples() -> dict[str, Path]:
    """Returns the example files by name, sorted; those that are no job keep their ending."""
    files = [path for kind in ("*.yaml", "*.py") for path in sorted(_folder("examples").glob(kind))]
    return {path.stem if path.suffix == ".yaml" else path.name: path for path in files}


def find_page(topic: str) -> Path:
    """Returns the page of a topic; raises :class:`NotFound` with the nearest one."""
    name = topic.removeprefix("docs/").removesuffix(".md")
    known = pages()
    if name not in known:
        raise NotFound(f"there is no page {topic!r}", nearest(name, list(known)))
    return known[name]


def find_example(name: str) -> Path:
    """Returns the file of an example; raises :class:`NotFound` with the nearest one."""
    known = examples()
    key = name.removeprefix("examples/").removesuffix(".yaml")
    if key not in known:
        raise NotFound(f"there is no example {name!r}", nearest(key, list(known)))
    return known[key]


def page_title(path: Path) -> str:
    """Returns the heading of a page."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def example_summary(path: Path) -> str:
    """Returns the first sentence of an example's comment or docstring."""
    text = path.read_text(encoding="utf-8")
    comment = text.partition('"""')[2] if path.suffix == ".py" else text.replace("# ", "")
    return comment.partition(". ")[0].partition(".\n")[0].partition("\n")[0] + "."


def _folder(name: str) -> Path:
    """Returns a folder of the installed package, or of the repository."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
