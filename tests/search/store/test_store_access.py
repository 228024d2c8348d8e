"""Users, tokens, sessions, projects and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import Role, Scope
from search.store import Store
from search.store.columns import utc_now

READ, SUBMIT, ADMIN = Scope.READ, Scope.SUBMIT, Scope.ADMIN
HOUR = timedelta(hours=1)


@pytest.fixture
def ada(store: Store) -> str:
    store.users.add("ada")
    return "ada"


class TestUsers:
    def test_they_are_listed_by_name(self, store: Store) -> None:
        assert not store.users.exist()
        store.users.add("ben@example.org", admin=True)
        store.users.add("ada", subject="issuer ada")
        assert store.users.exist()
        assert [(user.name, user.admin, user.subject) for user in store.users.all()] == [
            ("ada", False, "issuer ada"),
            ("ben@example.org", True, None),
        ]
        assert store.users.get("ada") == store.users.by_subject("issuer ada") == store.users.all()[0]
        assert store.users.get("eve") is store.users.by_subject("eve") is None

    @pytest.mark.parametrize("name", ["", "a b", "-a", "device:pi", "a\n", "ä", "x" * 256, "local"])
    def test_what_cannot_be_a_name(self, store: Store, name: str) -> None:
        with pytest.raises(InvalidInput):
            store.users.add(name)
        assert store.users.all() == []

    def test_a_name_is_taken_once(self, store: Store, ada: str) -> None:
        with pytest.raises(InvalidInput, match="a user 'ada' already"):
            store.users.add(ada)

    def test_changes(self, store: Store, ada: str) -> None:
        store.users.disable(ada)
        store.users.set_admin(ada, True)
        store.users.set_subject(ada, "issuer 1")
        (user,) = store.users.all()
        assert user.disabled_at is not None
        assert (user.admin, user.subject) == (True, "issuer 1")
        store.users.enable(ada)
        assert store.users.all()[0].disabled_at is None

    def test_nobody_cannot_be_changed(self, store: Store) -> None:
        for change in (store.users.disable, store.users.enable):
            with pytest.raises(NotFound, match="no user 'eve'"):
                change("eve")


class TestTokens:
    def test_a_token_says_what_it_allows(self, store: Store, ada: str) -> None:
        row, text = store.tokens.create(ada, [SUBMIT, READ], label="laptop")
        assert text.startswith(f"pt_{row.token_id}_")
        store.projects.add("vision")
        store.projects.set_member("vision", ada, Role.OWNER)
        grant = store.tokens.grant(text)
        assert grant is not None
        assert (grant.user, grant.admin, grant.scopes, grant.roles) == (
            ada, False, {READ, SUBMIT}, {"vision": Role.OWNER},
        )  # fmt: skip
        assert (grant.project, grant.token_id) == (None, row.token_id)
        assert row.used_at is None
        (stored,) = store.tokens.all()
        assert (stored.label, stored.scopes, stored.valid) == ("laptop", {READ, SUBMIT}, True)
        assert stored.used_at is not None

    def test_only_its_hash_is_stored(
        self, store: Store, ada: str, contents: Callable[[], dict[str, list[tuple[object, ...]]]]
    ) -> None:
        secret = store.tokens.create(ada, [READ])[1].split("_", 2)[2]
        cookie = store.sessions.open(ada, [READ], HOUR)
        assert secret not in str(contents())
        assert cookie not in str(contents())

    def test_anything_else_is_no_token(self, store: Store, ada: str) -> None:
        _, text = store.tokens.create(ada, [READ])
        _, other = store.tokens.create(ada, [READ])
        swapped = "_".join([*text.split("_", 2)[:2], other.split("_", 2)[2]])
        for wrong in (
            "",
            "pt",
            "pt_",
            "pt__",
            text[:-1],
            text + "x",
            text.upper(),
            f"x{text}",
            swapped,
            "pt_\0_\ud800",
        ):
            assert store.tokens.grant(wrong) is None

    def test_revoked_expired_and_disabled_ones_are_refused_at_once(self, store: Store, ada: str) -> None:
        revoked, text_of_revoked = store.tokens.create(ada, [READ])
        _, expired = store.tokens.create(ada, [READ], expires_at=utc_now() - timedelta(seconds=1))
        _, kept = store.tokens.create(ada, [READ], expires_at=utc_now() + HOUR)
        assert store.tokens.grant(text_of_revoked) is not None
        assert store.tokens.revoke(revoked.token_id).user == ada
        assert store.tokens.grant(text_of_revoked) is None
        assert store.tokens.grant(expired) is None
        assert store.tokens.grant(kept) is not None
        assert [row.valid for row in store.tokens.all(ada)] == [False, False, True]
        store.users.disable(ada)
        assert store.tokens.grant(kept) is None
        store.users.enable(ada)
        assert store.tokens.grant(kept) is not None

    def test_one_for_a_project(self, store: Store, ada: str) -> None:
        with pytest.raises(NotFound, match="no project 'vision'"):
            store.tokens.create(ada, [READ], project="vision")
        store.projects.add("vision")
        _, text = store.tokens.create(ada, [READ], project="vision")
        grant = store.tokens.grant(text)
        assert grant is not None
        assert (grant.project, grant.roles) == ("vision", {})

    def test_what_cannot_be_made(self, store: Store, ada: str) -> None:
        with pytest.raises(InvalidInput, match="needs a scope"):
            store.tokens.create(ada, [])
        with pytest.raises(InvalidInput, match="not an administrator"):
            store.tokens.create(ada, [READ, ADMIN])
        with pytest.raises(NotFound, match="no user 'eve'"):
            store.tokens.create("eve", [READ])
        with pytest.raises(NotFound, match="no token 'ffffffff'"):
            store.tokens.revoke("ffffffff")
        with pytest.raises(NotFound, match="no user 'eve'"):
            store.tokens.all("eve")

    def test_an_administrator_who_is_none_any_more(self, store: Store) -> None:
        store.users.add("ben", admin=True)
        _, text = store.tokens.create("ben", [READ, ADMIN])
        store.users.set_admin("ben", False)
        grant = store.tokens.grant(text)
        assert grant is not None
        assert not grant.admin


class TestSessions:
    def test_a_session_says_what_it_allows(self, store: Store, ada: str) -> None:
        cookie = store.sessions.open(ada, [READ, SUBMIT], HOUR)
        grant = store.sessions.grant(cookie)
        assert grant is not None
        assert (grant.user, grant.scopes, grant.project, grant.token_id) == (ada, {READ, SUBMIT}, None, None)
        assert store.sessions.grant(cookie[:-1]) is None
        assert store.sessions.grant("") is None

    def test_it_ends(self, store: Store, ada: str) -> None:
        closed, expired = store.sessions.open(ada, [READ], HOUR), store.sessions.open(ada, [READ], -HOUR)
        kept = store.sessions.open(ada, [READ], HOUR)
        store.sessions.close(closed)
        store.sessions.close("unknown")
        assert store.sessions.grant(closed) is store.sessions.grant(expired) is None
        store.users.disable(ada)
        assert store.sessions.grant(kept) is None

    @pytest.mark.parametrize("how", ["revoked", "expired"])
    def test_it_ends_with_the_token_that_opened_it(
        self, store: Store, ada: str, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, _ = store.tokens.create(ada, [READ], expires_at=utc_now() + timedelta(minutes=1))
        cookie = store.sessions.open(ada, [READ], HOUR, row.token_id)
        grant = store.sessions.grant(cookie)
        assert grant is not None
        assert grant.token_id == row.token_id
        if how == "revoked":
            store.tokens.revoke(row.token_id)
        else:
            later = utc_now() + timedelta(minutes=2)
            monkeypatch.setattr("search.store.sessions.utc_now", lambda: later)
        assert store.sessions.grant(cookie) is None

    def test_it_is_restricted_as_its_token_is(self, store: Store, ada: str) -> None:
        store.projects.add("vision")
        row, _ = store.tokens.create(ada, [READ], project="vision")
        grant = store.sessions.grant(store.sessions.open(ada, [READ], HOUR, row.token_id))
        assert grant is not None
        assert grant.project == "vision"


class TestProjects:
    def test_members_and_owners(self, store: Store, ada: str) -> None:
        store.projects.add("vision")
        store.users.add("ben")
        store.projects.set_member("vision", "ben", Role.MEMBER)
        store.projects.set_member("vision", ada, Role.MEMBER)
        store.projects.set_member("vision", ada, Role.OWNER)
        default, vision = store.projects.all()
        assert (default.name, default.members) == ("default", {})
        assert (vision.name, vision.members) == ("vision", {"ada": Role.OWNER, "ben": Role.MEMBER})
        store.projects.remove_member("vision", ada)
        assert store.projects.all()[1].members == {"ben": Role.MEMBER}

    def test_mistakes(self, store: Store, ada: str) -> None:
        store.projects.add("vision")
        with pytest.raises(InvalidInput, match="a project 'vision' already"):
            store.projects.add("vision")
        with pytest.raises(InvalidInput, match="not a valid name"):
            store.projects.add("a b")
        with pytest.raises(NotFound, match="no project 'audio'"):
            store.projects.set_member("audio", ada, Role.MEMBER)
        with pytest.raises(NotFound, match="no user 'eve'"):
            store.projects.set_member("vision", "eve", Role.MEMBER)
        with pytest.raises(NotFound, match="'ada' is not a member"):
            store.projects.remove_member("vision", ada)


def test_the_audit_log_lists_the_newest_first(store: Store) -> None:
    store.audit.add("local", "users add", "ada")
    store.audit.add("ada", "POST /login", token_id="0a1b2c3d", address="192.0.2.7")
    store.audit.add(None, "POST /login", address="192.0.2.8", outcome="wrong token")
    rows = store.audit.newest(10)
    assert [(row.user, row.action, row.object, row.token_id, row.address, row.outcome) for row in rows] == [
        (None, "POST /login", "", None, "192.0.2.8", "wrong token"),
        ("ada", "POST /login", "", "0a1b2c3d", "192.0.2.7", "ok"),
        ("local", "users add", "ada", None, None, "ok"),
    ]
    assert store.audit.newest(1) == rows[:1]
    assert store.audit.newest(10, user="ada") == rows[1:2]
