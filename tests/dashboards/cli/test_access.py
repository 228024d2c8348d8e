"""The commands about users, tokens, projects and the audit log, and signing in to a server."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboards.access.saved_login import Login, current_login
from dashboards.cli import run_app
from dashboards.server import background
from search.folders import default_database
from search.store import Store
from search.store.columns import utc_now

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: its exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def started(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return started


@pytest.fixture
def report(run: Run) -> Callable[..., Any]:
    """Runs a command and returns its JSON document."""

    def read(*arguments: str) -> Any:
        code, output, errors = run(*arguments, "--format", "json")
        assert code == 0, errors
        return json.loads(output)

    return read


def test_an_administrator_s_first_steps(run: Run, report: Callable[..., Any]) -> None:
    assert run("users", "list")[1] == "no users; add one with: paretune users add NAME\n"
    assert run("users", "add", "ada")[0] == 0
    assert run("users", "add", "ben@example.org", "--admin")[0] == 0
    code, output, errors = run("tokens", "create", "--user", "ada", "--scopes", "read", "--name", "laptop")
    assert (code, output.count("\n")) == (0, 1)
    token_id = output.split("_")[1]
    assert output.startswith("pt_")
    assert output.strip() not in errors
    assert "not shown again" in errors
    (token,) = report("tokens", "list")["tokens"]
    assert (token["token_id"], token["user"], token["name"], token["scopes"], token["state"]) == (
        token_id, "ada", "laptop", ["read"], "valid",
    )  # fmt: skip
    assert timedelta(days=89) < datetime.fromisoformat(token["expires_at"]) - utc_now() < timedelta(days=90)
    assert output.strip() not in run("tokens", "list", "--all")[1]
    run("projects", "add", "vision")
    shown = report("projects", "members", "vision", "--add", "ada", "--owner", "ben@example.org")
    assert shown["members"] == {"ada": "member", "ben@example.org": "owner"}
    assert "ben@example.org (owner)" in run("projects", "list")[1]
    assert report("projects", "members", "vision", "--remove", "ada")["members"] == {"ben@example.org": "owner"}
    assert [project["name"] for project in report("projects", "list")["projects"]] == ["default", "vision"]


def test_users_are_disabled_and_made_administrators(run: Run, report: Callable[..., Any]) -> None:
    run("users", "add", "ada")
    assert run("users", "disable", "ada")[0] == 0
    assert "disabled 20" in run("users", "list")[1]
    assert run("users", "enable", "ada")[0] == 0
    assert run("users", "admin", "ada")[0] == 0
    (user,) = report("users", "list")["users"]
    assert (user["admin"], user["disabled_at"]) == (True, None)
    run("users", "admin", "ada", "--off")
    assert not report("users", "list")["users"][0]["admin"]


def test_a_token_is_revoked_by_its_id_or_itself(run: Run, report: Callable[..., Any]) -> None:
    run("users", "add", "ada")
    tokens = [report("tokens", "create", "--user", "ada", "--expires", "never") for _ in range(2)]
    assert tokens[0]["expires_at"] is None
    assert run("tokens", "revoke", tokens[0]["token_id"])[0] == 0
    assert run("tokens", "revoke", tokens[1]["token"])[0] == 0
    assert report("tokens", "list") == {"tokens": []}
    assert [token["state"] for token in report("tokens", "list", "--all", "--user", "ada")["tokens"]] == ["revoked"] * 2


def test_who_did_what_is_kept(run: Run, report: Callable[..., Any]) -> None:
    run("users", "add", "ada")
    token = report("tokens", "create", "--user", "ada")
    run("tokens", "revoke", token["token_id"])
    entries = report("audit")["entries"]
    assert [(entry["user"], entry["action"], entry["object"]) for entry in entries] == [
        ("local", "tokens revoke", f"{token['token_id']} of ada"),
        ("local", "tokens create", f"{token['token_id']} of ada for read, submit"),
        ("local", "users add", "ada"),
    ]
    assert report("audit", "-n", "1")["entries"] == entries[:1]
    assert report("audit", "--user", "ada")["entries"] == []
    assert token["token"].rpartition("_")[2] not in str(entries)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("users add a/b", 2, "'a/b' is not a valid name"),
        ("users add local", 2, "stands for the command line"),
        ("users add ada", 2, "a user 'ada' already"),
        ("users disable eve", 3, "no user 'eve'"),
        ("tokens create --user eve", 3, "no user 'eve'"),
        ("tokens create --user ada --scopes read,write", 2, "--scopes: 'write' is not a scope"),
        ("tokens create --user ada --scopes ,", 2, "--scopes: ',' is not a scope"),
        ("tokens create --user ada --scopes admin", 2, "not an administrator"),
        ("tokens create --user ada --expires 90", 2, "--expires: '90'"),
        ("tokens create --user ada --expires 0d", 2, "--expires: '0d'"),
        ("tokens create --user ada --expires 99999w", 2, "--expires: '99999w'"),
        ("tokens create --user ada --project audio", 3, "no project 'audio'"),
        ("tokens list --user eve", 3, "no user 'eve'"),
        ("tokens revoke 00000000", 3, "no token '00000000'"),
        ("projects add default", 2, "a project 'default' already"),
        ("projects members audio", 3, "no project 'audio'"),
        ("projects members default --remove ada", 3, "'ada' is not a member"),
        ("login paretune.example", 2, "not the address of a server"),
        ("logout", 3, "no server is saved"),
    ],
)
def test_mistakes(run: Run, command: str, code: int, message: str) -> None:
    run("users", "add", "ada")
    answer = run(*command.split())
    assert answer[:2] == (code, "")
    assert message in answer[2]
    assert "hint: " in answer[2]


class TestLogin:
    @pytest.fixture
    def address(self, home: Path) -> Iterator[str]:
        with Store(default_database()) as store, background(store) as url:
            yield url

    @pytest.fixture
    def enter(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))

    def test_a_token_is_checked_and_saved(
        self, run: Run, report: Callable[..., Any], address: str, enter: Callable[[str], None], home: Path
    ) -> None:
        run("users", "add", "ada")
        token = report("tokens", "create", "--user", "ada")["token"]
        enter(f"{token}\n")
        code, output, errors = run("login", f"{address}/")
        assert (code, output) == (0, "")
        assert f"signed in to {address} as ada (read, submit)" in errors
        assert token not in errors
        login = current_login({})
        assert login is not None
        assert (login.server, login.token) == (address, token)
        assert stat.S_IMODE((home / "login.json").stat().st_mode) == 0o600
        assert run("logout")[0] == 0
        assert current_login({}) is None

    def test_a_wrong_one_is_not(self, run: Run, address: str, enter: Callable[[str], None]) -> None:
        run("users", "add", "ada")
        mistakes = {"pt_00000000_x": "unknown or revoked", "": "wants to know who asks", "a\tb": "no token"}
        for text, message in mistakes.items():
            enter(f"{text}\n")
            code, _, errors = run("login", address)
            assert (code, message in errors) == (2 if "\t" in text else 4, True)
        assert current_login({}) is None

    def test_an_open_server_needs_none(self, run: Run, address: str, enter: Callable[[str], None]) -> None:
        enter("")
        assert run("login", address)[0] == 0
        assert current_login({}) == Login(address, "")

    def test_from_a_file(self, run: Run, report: Callable[..., Any], address: str, tmp_path: Path) -> None:
        run("users", "add", "ada")
        file = tmp_path / "token"
        assert run("login", address, "--token-file", str(file))[0] == 2
        file.write_text(report("tokens", "create", "--user", "ada")["token"] + "\n")
        assert run("login", address, "--token-file", str(file))[0] == 0
        assert current_login({}) == Login(address, file.read_text().strip())

    def test_a_server_that_does_not_answer(self, run: Run, enter: Callable[[str], None]) -> None:
        enter("pt_00000000_x\n")
        code, _, errors = run("login", "http://127.0.0.1:9")
        assert code == 4
        assert "http://127.0.0.1:9 does not answer" in errors
