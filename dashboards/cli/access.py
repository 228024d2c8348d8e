"""Commands about who may use a server: users, their tokens, projects, and the audit log.

Whoever can write the database may use them; they are noted in the audit log as the user ``local``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

import typer

from dashboards.cli.console import err, out
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Db, Format, existing_store, open_store, print_json, store_if_any
from dashboards.documents.access import (
    audit_document,
    projects_document,
    token_document,
    tokens_document,
    users_document,
)
from dashboards.figures import moment
from dashboards.words import Json
from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import LOCAL_USER, Role, Scope
from search.store import Store
from search.store.columns import utc_now

UserName = Annotated[str, typer.Argument(help="The user's name, such as an e-mail address.", show_default=False)]
ProjectName = Annotated[str, typer.Argument(help="The project's name.", show_default=False)]

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_LONGEST = timedelta(days=3660)


def users_add(
    user: UserName,
    admin: Annotated[bool, typer.Option("--admin", help="As an administrator.")] = False,
    db: Db = None,
) -> None:
    """Add a user of the server; from the first one on, it asks everyone to sign in."""
    with open_store(db) as store:
        store.users.add(user, admin=admin)
        _note(store, "users add", user)
    err.print(f"added {user}; make a token for them with: paretune tokens create")


def users_list(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List the users of the server."""
    with store_if_any(db) as store:
        document = users_document(store)
    if format is Format.JSON:
        print_json(document)
        return
    rows = [
        {**user, "role": "administrator" if user["admin"] else "user", "created": moment(user["created_at"]),
         "state": f"disabled {moment(user['disabled_at'])}" if user["disabled_at"] else "active"}
        for user in document["users"]
    ]  # fmt: skip
    columns = {"name": "user", "role": "role", "state": "state", "created": "added"}
    print_list(rows, columns, "no users; add one with: paretune users add NAME")


def users_disable(user: UserName, db: Db = None) -> None:
    """Refuse a user's tokens and sessions from now on."""
    with existing_store(db) as store:
        store.users.disable(user)
        _note(store, "users disable", user)
    err.print(f"{user} is refused from now on; to allow them again: paretune users enable {user}")


def users_enable(user: UserName, db: Db = None) -> None:
    """Accept a user's tokens again."""
    with existing_store(db) as store:
        store.users.enable(user)
        _note(store, "users enable", user)


def users_admin(
    user: UserName,
    off: Annotated[bool, typer.Option("--off", help="Make them an ordinary user again.")] = False,
    db: Db = None,
) -> None:
    """Make a user an administrator."""
    with existing_store(db) as store:
        store.users.set_admin(user, not off)
        _note(store, f"users admin{' --off' if off else ''}", user)


def tokens_create(
    user: Annotated[str, typer.Option(help="Whose token it is.", show_default=False)],
    scopes: Annotated[str, typer.Option(help="What it allows, of: read, submit, agent, admin.")] = "read,submit",
    expires: Annotated[str, typer.Option(help="How long it is valid: 12h, 90d, 4w, or never.")] = "90d",
    name: Annotated[str, typer.Option(help="What it is for, such as laptop.")] = "",
    project: Annotated[str | None, typer.Option(help="Only for the jobs of this project.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Make an API token for a user and print it, once."""
    chosen, expires_at = _scopes(scopes), _expiry(expires)
    with open_store(db) as store:
        row, text = store.tokens.create(user, chosen, label=name, project=project, expires_at=expires_at)
        _note(store, "tokens create", f"{row.token_id} of {user} for {', '.join(sorted(row.scopes))}")
    document = token_document(row)
    if format is Format.JSON:
        print_json({**document, "token": text})
        return
    out.print(text, soft_wrap=True)
    until = f"until {moment(document['expires_at'])}" if row.expires_at else "until it is revoked"
    err.print(f"token {row.token_id} of {user} is valid {until}; it is not shown again")
    err.print("on the user's machine: paretune login URL", soft_wrap=True)


def tokens_list(
    user: Annotated[str | None, typer.Option(help="Only this user's.", show_default=False)] = None,
    invalid: Annotated[bool, typer.Option("--all", help="Also expired and revoked ones.")] = False,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """List the API tokens, without their secrets."""
    with store_if_any(db) as store:
        document = tokens_document(store, user, invalid=invalid)
    if format is Format.JSON:
        print_json(document)
        return
    rows = [
        {**token, "scopes": ",".join(token["scopes"]), "used": moment(token["used_at"]),
         "expires": moment(token["expires_at"]) if token["expires_at"] else "never"}
        for token in document["tokens"]
    ]  # fmt: skip
    columns = {
        "token_id": "token", "user": "user", "name": "name", "scopes": "scopes", "state": "state", "expires": "expires",
        "used": "last used", "project": "project",
    }  # fmt: skip
    print_list(rows, columns, "no tokens; make one with: paretune tokens create --user NAME", cut=["name"])


def tokens_revoke(
    token: Annotated[str, typer.Argument(help="The token's id, or the token itself.", show_default=False)],
    db: Db = None,
) -> None:
    """Refuse an API token from now on, and the sessions that it opened."""
    with existing_store(db) as store:
        row = store.tokens.revoke(token.split("_")[1] if token.count("_") > 1 else token)
        _note(store, "tokens revoke", f"{row.token_id} of {row.user}")
    err.print(f"token {row.token_id} of {row.user} is refused from now on")


def projects_add(project: ProjectName, db: Db = None) -> None:
    """Add a project, whose members see its jobs."""
    with open_store(db) as store:
        store.projects.add(project)
        _note(store, "projects add", project)
    err.print(f"added {project}; its members: paretune projects members {project} --add USER", soft_wrap=True)


def projects_list(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List the projects with their members."""
    with store_if_any(db) as store:
        document = projects_document(store)
    if format is Format.JSON:
        print_json(document)
        return
    rows = [{**project, "members": _in_words(project["members"])} for project in document["projects"]]
    print_list(rows, {"name": "project", "members": "members"}, "no projects", wrap=["members"])


def projects_members(
    project: ProjectName,
    add: Annotated[list[str] | None, typer.Option(help="Make this user a member.", show_default=False)] = None,
    owner: Annotated[list[str] | None, typer.Option(help="Make this user an owner.", show_default=False)] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Take this user out.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Show a project's members, after the changes that options ask for."""
    with existing_store(db) as store:
        for role, users in ((Role.MEMBER, add), (Role.OWNER, owner)):
            for user in users or ():
                store.projects.set_member(project, user, role)
                _note(store, "projects members", f"{user} is {role} of {project}")
        for user in remove or ():
            store.projects.remove_member(project, user)
            _note(store, "projects members", f"{user} is out of {project}")
        projects = {row["name"]: row for row in projects_document(store)["projects"]}
    if project not in projects:
        raise NotFound(f"there is no project {project!r}", f"add it with: paretune projects add {project}")
    if format is Format.JSON:
        print_json(projects[project])
        return
    rows: list[Json] = [{"user": user, "role": role} for user, role in projects[project]["members"].items()]
    print_list(rows, {"user": "user", "role": "role"}, f"{project} has no members")


def audit(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many of the newest entries.")] = 50,
    user: Annotated[str | None, typer.Option(help="Only of this user.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Show who changed what, and who was refused, the newest first."""
    with store_if_any(db) as store:
        document = audit_document(store, count, user)
    if format is Format.JSON:
        print_json(document)
        return
    rows = [
        {**entry, "at": f"{datetime.fromisoformat(entry['at']):%Y-%m-%d %H:%M:%S}"} for entry in document["entries"]
    ]
    columns = {
        "at": "time (UTC)", "user": "user", "action": "action", "outcome": "outcome", "object": "object",
        "address": "address", "token_id": "token",
    }  # fmt: skip
    print_list(rows, columns, "nothing so far", cut=["action", "object"])


def _note(store: Store, action: str, object: str) -> None:
    store.audit.add(LOCAL_USER, action, object)


def _in_words(members: Json) -> str:
    return ", ".join(f"{user} (owner)" if role == Role.OWNER else user for user, role in members.items())


def _scopes(text: str) -> list[Scope]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Scope)]
    if unknown or not names:
        raise InvalidInput(f"--scopes: {(unknown or [text])[0]!r} is not a scope", f"name some of: {', '.join(Scope)}")
    return [Scope(name) for name in names]


def _expiry(text: str) -> datetime | None:
    if text == "never":
        return None
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    lasts = int(match[1]) * _UNITS[match[2]] if match else timedelta(0)
    if not timedelta(0) < lasts <= _LONGEST:
        raise InvalidInput(f"--expires: {text!r} is not a time of at most 10 years", "write e.g. 12h, 90d, 4w or never")
    return utc_now() + lasts
