"""Commands of operators: what nobody needs is removed, and everything else backed up."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Db, Format, existing_store, print_json
from dashboards.figures import byte_size
from hwprofiles.errors import NotFound
from search.artefacts import backup as backups
from search.artefacts.garbage import collect_garbage
from search.folders import default_database
from search.permissions import LOCAL_USER
from search.store import Store, database_exists

MOST_DAYS = 36500.0
_KINDS = {
    "artefact": "files that no job names",
    "agent_file": "files for agents that no request needs",
    "upload": "uploads that stopped",
    "candidate": "candidates' files that can be built again",
    "job_folder": "folders of jobs' files on this node",
}


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    audit_days: Annotated[
        float | None,
        typer.Option(min=0, max=MOST_DAYS, help="Also remove older entries of the audit log.", show_default=False),
    ] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Remove files that nobody needs any more: of artefacts, uploads, agents and ended jobs."""
    with existing_store(db) as store:
        entries = 0 if audit_days is None else _drop_audit(store, audit_days, dry_run)
        garbage = sorted(collect_garbage(store, dry_run=dry_run), key=lambda thing: (thing.kind, thing.name))
    size_bytes = sum(thing.size_bytes for thing in garbage)
    if format is Format.JSON:
        removed = [asdict(thing) for thing in garbage]
        print_json({"dry_run": dry_run, "size_bytes": size_bytes, "audit_entries": entries, "removed": removed})
        return
    rows = [{"what": "entries of the audit log", "count": entries, "size": None}] if entries else []
    for kind, things in groupby(garbage, key=lambda thing: thing.kind):
        sizes = [thing.size_bytes for thing in things]
        rows.append({"what": _KINDS[kind], "count": len(sizes), "size": byte_size(sum(sizes))})
    print_list(rows, {"what": "to remove" if dry_run else "removed", "count": "number", "size": "size"}, "no garbage")


def _drop_audit(store: Store, days: float, dry_run: bool) -> int:
    """Removes older entries of the audit log, and notes that in it; returns how many."""
    before = datetime.now(UTC) - timedelta(days=days)
    if dry_run:
        return store.audit.count_before(before)
    entries = store.audit.drop_before(before)
    if entries:
        store.audit.add(LOCAL_USER, "gc --audit-days", f"{entries} entries before {before:%Y-%m-%d %H:%M} UTC")
    return entries


def backup(
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder, or a new file ending with .tar.")],
    no_artefacts: Annotated[bool, typer.Option("--no-artefacts", help="Without the files of jobs.")] = False,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Back the database up, with the files of submitted jobs and your devices; jobs may run meanwhile."""
    url = db or default_database()
    if not database_exists(url):
        raise NotFound(f"there is no database at {url}", "check --db, PARETUNE_DB and PARETUNE_HOME")
    manifest = backups.back_up(url, output, artefacts=not no_artefacts)
    if format is Format.JSON:
        print_json(asdict(manifest))
        return
    count = "no" if manifest.artefacts is None else len(manifest.artefacts)
    err.print(f"wrote {output}: the database, {count} artefacts, {len(manifest.devices)} devices", soft_wrap=True)
    for sha256 in manifest.missing:
        err.print(f"note: artefact {sha256} is missing or damaged, and not in the backup", soft_wrap=True)


def restore(
    backup: Annotated[Path, typer.Argument(help="Made with: paretune backup.", show_default=False)], db: Db = None
) -> None:
    """Make a database from a backup; nothing that exists is replaced."""
    url = db or default_database()
    manifest, kept = backups.restore(backup, url)
    err.print(f"restored the database of {manifest.created_at}", soft_wrap=True)
    for name in kept:
        err.print(f"note: device {name.removesuffix('.toml')} is described here already, and stays", soft_wrap=True)
    for sha256 in manifest.missing:
        err.print(f"note: artefact {sha256} was not in the backup: submit its jobs again", soft_wrap=True)
