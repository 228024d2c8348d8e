"""The REST face: JSON documents, a job's event stream, and errors as RFC 9457 problems."""

from dashboards.api.agents import AGENT_PATHS, agent_problem, agent_router
from dashboards.api.artefacts import artefact_router
from dashboards.api.me import me_router
from dashboards.api.problems import problem_headers, problem_response, problem_status
from dashboards.api.routes import api_router

__all__ = [
    "AGENT_PATHS", "agent_problem", "agent_router", "api_router", "artefact_router", "me_router", "problem_headers",
    "problem_response", "problem_status",
]  # fmt: skip
