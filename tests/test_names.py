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

PARTICIPLE = re.compile(
    r"(\w+ed|built|done|drawn|found|given|gone|held|kept|known|left|lost|made|meant|put|read|said|seen|sent|shown|"
    r"taken|thought|told|torn|understood|worn|written)(_|$)"
)
NO_PARTICIPLE = re.compile(r"(need|feed|seed|speed|embed|shared|bed|red|shed|read|put|left|indeed|proceed|exceed)(_|$)")
PRONOUNS = {"found", "one", "known", "asked", "told", "other", "others", "each", "them", "those", "these", "what", "it",
            "this", "that", "some", "any", "both", "given", "here", "there", "same", "rest", "all", "such"}  # fmt: skip


def functions() -> list[str]:
    defined = [node.name for node in NODES if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [name.lstrip("_") for name in defined if not name.startswith("__")]


def variables() -> list[str]:
    stored = [node.id for node in NODES if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return stored + [node.arg for node in NODES if isinstance(node, ast.arg)]


def test_functions_are_named_by_verbs() -> None:
    participles = [name for name in functions() if PARTICIPLE.match(name) and not NO_PARTICIPLE.match(name)]
    assert len(participles) / len(functions()) <= 0.02, Counter(participles).most_common(20)


def test_variables_are_named_by_nouns() -> None:
    pronouns = [name for name in variables() if name in PRONOUNS]
    assert len(pronouns) / len(variables()) <= 0.01, Counter(pronouns).most_common(20)


def test_found_and_one_are_rare() -> None:
    uses = Counter(node.id for node in NODES if isinstance(node, ast.Name))
    assert uses["found"] <= 20
    assert uses["one"] <= 20


def test_formatting_is_rarely_switched_off() -> None:
    assert sum(path.read_text().count("# fmt: skip") for path in FILES) <= 150


def test_files_and_functions_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
    defined = [node for node in NODES if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    bodies = {node.name: (node.end_lineno or 0) - node.body[ast.get_docstring(node) is not None :][0].lineno + 1
              for node in defined if len(node.body) > 1}  # fmt: skip
    assert {name: lines for name, lines in bodies.items() if lines > 60} == {}
