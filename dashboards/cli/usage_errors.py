"""Typer's errors about a command line, in the words of all other errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hwprofiles.suggestions import closest, nearest

_EXPECTED = (
    (r"Input should be a valid number.*", "must be a number"),
    (r"Input should be a valid integer.*", "must be a whole number"),
    (r"Input should be greater than or equal to (\S+)", r"must be at least \1"),
    (r"Input should be less than or equal to (\S+)", r"must be at most \1"),
    (r"(?:Value error, )?('.*') is not one of ('.*')\.?", r"must be one of \2, not \1"),
)
"""How Typer says what an option's value must be, and how we say it."""

_USUAL = 10
"""An example of a number for an option without a default."""


def explain_usage(error: Any, arguments: list[str]) -> tuple[str, str]:
    """Returns the message and the hint of Typer's error about these arguments."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else _command_in(arguments)
    message = str(error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:]
    if option := getattr(error, "option_name", None):
        possibilities = getattr(error, "possibilities", None)
        if possibilities is None:
            return f"{option}: a value is missing", f"write: {option} VALUE; all options: {path} --help"
        return f"no such option {option}", _nearest(option, possibilities, f"all options: {path} --help")
    if message.startswith("no such command"):
        return message.partition(". Did you mean")[0], _other_command(message, context)
    parameter = getattr(error, "param", None)
    if type(error).__name__ == "BadParameter" and parameter is not None:
        return _explain_value(error.message, parameter)
    if parameter is not None and str(parameter.opts[0]).startswith("-"):
        return message, f"write: {parameter.opts[0]} VALUE; all options: {path} --help"
    usage = context.command.get_usage(context).split(": ", 1)[-1] if context else path
    usage = re.sub(r"\{(.*?)\}", lambda match: match[1].upper(), " ".join(usage.split()))
    return message, f"write: {usage}; all options: {path} --help"


def _explain_value(text: str, parameter: Any) -> tuple[str, str]:
    """Returns the message and the hint for a value that an option or argument cannot have."""
    name = parameter.opts[0] if str(parameter.opts[0]).startswith("-") else parameter.name.upper()
    for pattern, words in _EXPECTED:
        if match := re.fullmatch(pattern, text):
            text = match.expand(words)
    choices = re.findall(r"'([^']*)'", text.partition(", not ")[0]) if text.startswith("must be one of") else []
    if choices:
        near = closest(text.rpartition(", not ")[2].strip("'"), choices)
        return f"{name}: {text}", f"did you mean {near!r}?" if near else f"write: {name} {choices[0]}"
    default = parameter.default if isinstance(parameter.default, int | float) else _USUAL
    return f"{name}: {text}", f"write: {name} {default:g}"


def _nearest(name: str, names: Iterable[str], otherwise: str) -> str:
    near = closest(name, list(names))
    return f"did you mean {near!r}?" if near else otherwise


def _other_command(message: str, context: Any) -> str:
    """Returns the hint for an unknown command: the most similar one, or all of them."""
    names = context.command.list_commands(context) if context else []
    wrong = re.search(r"'([^']*)'", message)
    return nearest(wrong[1] if wrong else "", names)


def _command_in(arguments: list[str]) -> str:
    """Returns the command that a line names, without its arguments."""
    groups = ("devices", "db")
    words = [word for word in arguments if not word.startswith("-")]
    words = words[: 2 if words and words[0] in groups else 1]
    return " ".join(["paretune", *words])
