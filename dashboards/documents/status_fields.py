"""A job's status as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.documents.jobs import state_in_words
from dashboards.evidence import IN_WORDS, Evidence, qualify_title
from dashboards.figures import duration, figure, moment

_TIMES = ("created_at", "started_at", "finished_at")


def status_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The plain fields of a status document under their names, figures rounded and with units.

    Omits digests, and fields that another one repeats.
    """
    evidence = Evidence(document["evidence"])
    shown = {
        **{key: value for key, value in document.items() if not isinstance(value, dict | list)},
        "state": state_in_words(document),
        **{key: None if document[key] is None else moment(document[key]) for key in _TIMES},
        "wall_s": duration(document["wall_s"]),
        "best_speedup": None if document["best_speedup"] is None else figure(document["best_speedup"], "speedup"),
        "simulated": IN_WORDS[evidence] or None,
    }
    omitted = {"profile_digest", "evidence", "process_died"}
    titles = {"wall_s": "time used", "best_speedup": qualify_title("best speed-up", "speedup", evidence)}
    return {titles.get(key, key): value for key, value in shown.items() if key not in omitted}
