"""The pages: what a person sees of jobs and fronts in a browser."""

from dashboards.web.headers import SecurityHeaders
from dashboards.web.views import mount_pages, problem_page

__all__ = ["SecurityHeaders", "mount_pages", "problem_page"]
