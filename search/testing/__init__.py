"""Conformance suites for the test classes of plugins; they need pytest."""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{suite}" for suite in ("criteria", "losses", "strategies", "tasks", "techniques"))
)
