from __future__ import annotations

from pathlib import Path

import pytest
import token_net
from toy_plugin.merging import TokenMerging

from search.techniques import Subject
from search.testing.techniques import ModuleConformance

pytestmark = pytest.mark.usefixtures("toy_package")


class TestTokenMerging(ModuleConformance):
    kind = TokenMerging

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return token_net.subject_in(tmp_path)
