"""Conformance suites for the test classes of further runtimes and evaluators; they need pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.evaluators", f"{__name__}.runtimes")
