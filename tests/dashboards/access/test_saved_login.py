"""The saved server and token of a user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.access.saved_login import Login, current_login, forget_login, save_login, server_address
from hwprofiles.errors import InvalidInput, StorageError

HERE, THERE = Login("https://a.example", "pt_1"), Login("http://127.0.0.1:8700", "pt_2")


def test_nothing_is_saved_at_first() -> None:
    assert current_login({}) is None
    assert forget_login() is None


def test_what_was_saved_last_counts(home: Path) -> None:
    save_login(HERE)
    file = save_login(THERE)
    assert current_login({}) == THERE
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent == home
    assert forget_login() == THERE
    assert current_login({}) is None
    assert not file.exists()


def test_the_environment_comes_first() -> None:
    save_login(HERE)
    assert current_login({"PARETUNE_TOKEN": "pt_3"}) == Login(HERE.server, "pt_3")
    assert current_login({"PARETUNE_SERVER": "https://A.example/"}) == HERE
    assert current_login({"PARETUNE_SERVER": THERE.server, "PARETUNE_TOKEN": "pt_3"}) == Login(THERE.server, "pt_3")


def test_a_token_is_sent_to_no_other_server() -> None:
    save_login(HERE)
    assert current_login({"PARETUNE_SERVER": THERE.server}) == Login(THERE.server, "")
    assert current_login({"PARETUNE_SERVER": "http://a.example"}) == Login("http://a.example", "")


def test_a_token_is_not_shown() -> None:
    assert "pt_1" not in repr(HERE)


def test_a_damaged_file_is_no_silent_sign_out(home: Path) -> None:
    file = save_login(HERE)
    for text in ("", "[]", "{}", '{"server": "x"}', "\0"):
        file.write_text(text)
        with pytest.raises(StorageError, match="cannot be read") as caught:
            current_login({})
        assert "paretune login" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["", "a.example", "ftp://a.example", "https://", "https://a.example/x", "https://u:p@a.example", "https://a:x"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput, match="not the address of a server"):
        server_address(text)


def test_clients_load_nothing_large_for_it() -> None:
    program = "import sys, dashboards.access.saved_login; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "fastapi", "torch", "ray", "pydantic", "typer"} & set(loaded)
