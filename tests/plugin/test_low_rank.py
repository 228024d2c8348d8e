from __future__ import annotations

from pathlib import Path

import pytest
import token_net
from toy_plugin.low_rank import LowRank

from search.techniques import Subject
from search.testing.techniques import ModuleConformance

pytestmark = pytest.mark.usefixtures("toy_package")


class TestLowRank(ModuleConformance):
    kind = LowRank

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return token_net.subject_in(tmp_path)
