"""The schema: migrations make what the models say, and a store opens only what it understands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hwprofiles.errors import StorageError
from search.store import Store, revision, upgrade
from search.store import upgrade as upgrade_function
from search.store.models import Base
from search.store.revision import HEAD, VERSION_TABLE


def _execute(url: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(revision.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


class TestMigrations:
    def test_upgrading_an_empty_database(self, url: str) -> None:
        assert upgrade(url) == (None, HEAD)
        assert upgrade(url) == (HEAD, HEAD)
        with Store(url) as store:
            assert store.jobs.all() == []

    def test_migrations_make_what_the_models_say(self, url: str) -> None:
        upgrade(url)
        engine = sqlalchemy.create_engine(url)
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()

    def test_every_constraint_is_made_by_name(self, url: str) -> None:
        # What the comparison above does not see on every database.
        upgrade(url)
        engine = sqlalchemy.create_engine(url)
        inspector = sqlalchemy.inspect(engine)
        for name, table in Base.metadata.tables.items():
            assert inspector.get_pk_constraint(name)["name"] == table.primary_key.name
            assert inspector.get_pk_constraint(name)["constrained_columns"] == table.primary_key.columns.keys()
            foreign = {key["name"]: key["referred_table"] for key in inspector.get_foreign_keys(name)}
            assert foreign == {key.name: key.referred_table.name for key in table.foreign_key_constraints}
        engine.dispose()

    def test_the_code_knows_the_newest_revision(self) -> None:
        assert _script().get_current_head() == HEAD
        assert [each.revision for each in _script().walk_revisions()] == [
            f"{number:04}" for number in range(int(HEAD), 0, -1)
        ]

    def test_an_older_database_asks_to_be_upgraded(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade(url)
        monkeypatch.setattr(sys.modules[upgrade_function.__module__], "HEAD", "0999")
        monkeypatch.setattr(revision, "HEAD", "0999")
        with pytest.raises(StorageError, match=f"has schema {HEAD}, Paretune needs 0999") as caught:
            Store(url)
        assert caught.value.hint == "run: paretune db upgrade"

    def test_a_newer_database_asks_for_a_newer_paretune(self, url: str) -> None:
        upgrade(url)
        _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
        for use in (Store, upgrade):
            with pytest.raises(StorageError, match="has schema 0999, newer than") as caught:
                use(url)
            assert caught.value.hint.startswith("upgrade Paretune")

    def test_a_database_of_another_program_is_left_alone(self, url: str) -> None:
        _execute(url, "CREATE TABLE trials (number INTEGER)", "CREATE TABLE alembic_version (version_num TEXT)")
        for use in (Store, upgrade):
            with pytest.raises(StorageError, match="holds another program's tables"):
                use(url)

    def test_a_failing_upgrade_changes_nothing(self, url: str) -> None:
        # A view is no table, so the database counts as empty; but one of our names is taken.
        _execute(url, "CREATE VIEW exports AS SELECT 1 AS one")
        with pytest.raises(StorageError, match="exports"):
            upgrade(url)
        engine = sqlalchemy.create_engine(url)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        engine.dispose()


class TestNewFiles:
    def test_a_store_makes_its_file_and_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "a" / "b" / "jobs.db"
        with Store(f"sqlite:///{file}") as store:
            assert store.jobs.all() == []
        assert file.stat().st_size > 0
        assert upgrade(f"sqlite:///{file}") == (HEAD, HEAD)

    def test_an_empty_file_is_prepared(self, tmp_path: Path) -> None:
        (tmp_path / "jobs.db").touch()
        with Store(f"sqlite:///{tmp_path}/jobs.db") as store:
            assert store.jobs.all() == []

    def test_processes_that_open_a_new_file_together_all_succeed(
        self, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        code = "import sys; from search.store import Store; sys.stdin.readline(); print(Store(sys.argv[1]).jobs.all())"
        command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/jobs.db"]
        pipe = subprocess.PIPE
        children = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
            for _ in range(3)
        ]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.communicate() for child in children] == [("[]\n", "")] * 3
