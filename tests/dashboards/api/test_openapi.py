"""The OpenAPI document: valid, complete, and true; what it allows, and what it does not, never makes the server fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from access_people import People
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from small_jobs import write_classifier

from dashboards.server import background, create_app
from search.artefacts.store import ArtefactStore
from search.permissions import Scope
from search.store import Store, this_process

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "3"))
"""Requests for each operation and reader; ``make schemathesis`` sends many."""
