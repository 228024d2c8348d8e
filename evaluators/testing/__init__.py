"""Conformance suites for the test classes of further runtimes; they need pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.runtimes")
