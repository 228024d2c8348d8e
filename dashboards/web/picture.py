"""A job's front as one file: a page that opens without a network, or a picture."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboards.evidence import IN_WORDS, Evidence
from dashboards.web.plot import INK, PAGE, draw, one_line
from dashboards.web.rendering import ECHARTS, has_chart_library, render, views_context
from hwprofiles.errors import StorageError

Json = Mapping[str, Any]

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = (ECHARTS, _STATIC / "chart.js", _STATIC / "saved.js")
# What could end or confuse the element that embeds it, as JSON escapes.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def save_html(document: Json, trials: Json, path: Path) -> None:
    """Writes one self-contained HTML file with the chart and its tables.

    ``document`` is a front document, ``trials`` the same job's trials document. Without the chart library the page has
    only the tables. Replaces ``path`` atomically; raises :class:`StorageError` if it cannot be written.
    """
    style = (_STATIC / "style.css").read_text(encoding="utf-8")
    with_chart = has_chart_library()
    scripts = [_script(path) for path in _SCRIPTS] if with_chart else []
    page = render(
        "saved.html",
        front=document,
        **views_context(dict(document), dict(trials)),
        linked=False,
        vendored=with_chart,
        policy=policy(style, scripts),
        style=style,
        scripts=scripts,
        data=_embed(trials),
    )
    write_whole(path, page.encode("utf-8"))


def save_png(document: Json, trials: Json, path: Path) -> None:
    """Writes the chart as a picture of 1600 by 1000 pixels; the arguments are those of :func:`save_html`.

    Raises :class:`StorageError` if ``path`` cannot be written.
    """
    write_whole(path, _picture(document, trials))


def front_fragment(document: Json, trials: Json) -> str:
    """Returns the chart as a picture and the front as a table, in HTML without scripts, for notebooks."""
    picture = base64.b64encode(_picture(document, trials)).decode("ascii")
    return render("fragment.html", front=document, picture=picture, **views_context(dict(document), dict(trials)))


def _picture(document: Json, trials: Json) -> bytes:
    from matplotlib.figure import Figure  # its import takes a second

    drawing = Figure(figsize=(8.0, 5.0), dpi=200, facecolor=PAGE, layout="constrained")
    axes = drawing.subplots()
    draw(axes, trials)
    words = IN_WORDS[Evidence(document["evidence"])]
    where = f"{document['name']} on {document['device']}" + (f" ({words})" if words else "")
    axes.set_title(one_line(where), loc="left", color=INK, fontsize=10, fontweight="bold", pad=26, parse_math=False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A name may hold characters that the font lacks; they become boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        drawing.savefig(content, format="png")
    return content.getvalue()


def _script(path: Path) -> str:
    """Returns a script as it may stand inside a script element."""
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _embed(trials: Json) -> str:
    return json.dumps(trials, separators=(",", ":")).translate(_ESCAPES)


def policy(style: str, scripts: Sequence[str] = ()) -> str:
    """Returns a content security policy that allows what the page embeds, by hash, and nothing else."""
    allowed = " ".join(map(_hash_source, scripts)) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src {_hash_source(style)}; img-src data:"


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file atomically."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}", "choose a writable folder") from None
