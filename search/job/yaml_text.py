"""Reads the YAML text of a job file."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest_file


class _Loader(yaml.SafeLoader):
    """Loads plain data; refuses a key that stands twice in a mapping, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Returns a mapping. Raises :class:`InvalidInput` for a key that stands in it twice."""
        lines: dict[Any, list[int]] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below
            lines.setdefault(key.value, []).append(key.start_mark.line + 1)
        for key, places in lines.items():
            if len(places) > 1:
                raise InvalidInput(
                    f"{key}: stands twice, in lines {places[0]} and {places[1]}", "leave one of them out"
                )
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """Returns the data of a job file. Raises :class:`InvalidInput` for a file that is missing or not YAML."""
    try:
        return yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise InvalidInput(
            f"job file {path} does not exist",
            nearest_file(path, "check the path, or write one with: paretune init MODEL.onnx"),
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"job file {path} cannot be read: {error}", "give a readable YAML text file") from None
    except RecursionError:
        raise InvalidInput(f"job file {path} is not YAML: nested too deeply", "check its brackets") from None
    except (ValueError, AttributeError):  # a date that does not exist, a number of thousands of digits
        raise InvalidInput(
            f"job file {path} has a number or a date that cannot be read", "write it as text in quotes, or leave it out"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None)
        problem = f": {words}" if words else ""
        place = "" if mark is None else f" at line {mark.line + 1}"
        hint = "indent with spaces, not tabs" if "\\t" in problem else "check indentation, brackets and quotes there"
        raise InvalidInput(f"job file {path} is not YAML{place}{problem}", hint) from None
