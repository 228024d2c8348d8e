"""Logs of long-running commands: server, worker, controller, agent. A line each on stderr, as text or JSON."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

FORMAT = "PARETUNE_LOG_FORMAT"
"""Environment variable: ``json`` for a JSON object a line; anything else is text."""

LOGGER = "paretune"
"""Parent of all our loggers."""

IDS = ("job_id", "candidate_id", "worker_id", "device", "user")
"""What a record may carry as ``extra``, so that lines can be searched by it."""


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: ``time``, ``level``, ``logger``, ``message``, and those of :data:`IDS`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= {name: getattr(record, name) for name in IDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Writes what our loggers say, from level info on, to stderr in the format that the environment asks for."""
    handler = logging.StreamHandler()
    as_json = os.environ.get(FORMAT) == "json"
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger(LOGGER)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
