"""The REST face: JSON documents, a job's event stream, and errors as RFC 9457 problems."""

from dashboards.api.problems import problem_response, problem_status
from dashboards.api.routes import api_router

__all__ = ["api_router", "problem_response", "problem_status"]
