"""Names stay verbs and nouns: budgets for names that say too little."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("hwprofiles", "evaluators", "search", "dashboards", "paretune")
FILES = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
TREES = [ast.parse(path.read_text()) for path in FILES]
NODES = [node for tree in TREES for node in ast.walk(tree)]

IRREGULAR = (
    "begun|bound|broken|brought|built|chosen|done|drawn|driven|fallen|felt|found|given|gone|grown|heard|held|kept|known|"
    "laid|left|lost|made|meant|met|paid|seen|sent|shown|sold|spent|spoken|stood|taken|taught|thought|thrown|told|torn|"
    "understood|won|worn|written"
)
NO_PARTICIPLE = "need|feed|seed|speed|embed|bed|red|shed|indeed|proceed|exceed"
PARTICIPLE = re.compile(rf"(?!({NO_PARTICIPLE})(_|$))(\w+?ed|{IRREGULAR})(_|$)")
"""Participles at the beginning of a name. ``put`` and ``read`` are verbs too, in the same form."""
PRONOUNS = {"found", "one", "known", "asked", "told", "other", "others", "each", "them", "those", "these", "what", "it",
            "this", "that", "some", "any", "both", "given", "here", "there", "same", "rest", "all", "such"}  # fmt: skip


def functions() -> list[str]:
    defined = [node.name for node in NODES if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [name.lstrip("_") for name in defined if not name.startswith(("__", "test_"))]


def variables() -> list[str]:
    stored = [node.id for node in NODES if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return stored + [node.arg for node in NODES if isinstance(node, ast.arg)]


def test_functions_are_named_by_verbs() -> None:
    participles = [name for name in functions() if PARTICIPLE.match(name)]
    assert len(participles) / len(functions()) <= 0.02, Counter(participles).most_common(20)


def test_variables_are_named_by_nouns() -> None:
    pronouns = [name for name in variables() if name in PRONOUNS]
    assert len(pronouns) / len(variables()) <= 0.01, Counter(pronouns).most_common(20)


def test_found_and_one_are_rare() -> None:
    uses = Counter(node.id for node in NODES if isinstance(node, ast.Name))
    assert uses["found"] <= 20
    assert uses["one"] <= 20


def test_functions_say_what_they_do_in_the_third_person() -> None:
    """``Returns …``, not ``Return …``; the docstrings of commands are their help, and begin with an imperative."""
    words = [docstring.split()[0] for docstring in docstrings()]
    does = {word for word in words if word.endswith("s")}
    imperatives = [word for word in words if does & {f"{word}s", f"{word}es", f"{word[:-1]}ies"}]
    assert len(imperatives) / len(words) <= 0.01, Counter(imperatives).most_common(20)


def docstrings() -> list[str]:
    """Lists the docstrings of functions, without those of commands."""
    trees = [tree for path, tree in zip(FILES, TREES, strict=True) if path.parent != ROOT / "dashboards" / "cli"]
    defined = [node for tree in trees for node in ast.walk(tree)]
    texts = [ast.get_docstring(node) for node in defined if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [text for text in texts if text]


def test_formatting_is_rarely_switched_off() -> None:
    assert sum(path.read_text().count("# fmt: skip") for path in FILES) <= 180


def test_files_and_functions_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
    assert {place: lines for place, lines in bodies() if lines > 60} == {}


def bodies() -> list[tuple[str, int]]:
    """Lists the place and number of lines of each function's body, without its docstring."""
    lengths = []
    for path, tree in zip(FILES, TREES, strict=True):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                lengths.append((f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines))
    return lengths
