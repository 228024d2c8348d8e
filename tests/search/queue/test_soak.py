"""A short campaign of kills; ``make soak`` runs a long one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from campaign import Campaign
from databases import Databases


def test_kills_lose_double_and_change_nothing(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    url = databases.create("postgresql")
    cut = partial(databases.server.cut_connections, url.partition("?")[0].rpartition("/")[2])
    campaign = Campaign(tmp_path, url, seed=5, cut_connections=cut, pause_s=(1.0, 6.0))
    campaign.add_jobs(simulated=1, measured=1)
    assert len(campaign.run(kills=4)) == 4
