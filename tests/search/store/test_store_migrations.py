"""The schema: migrations make what the models say, and a store opens only what it understands."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import Databases

from hwprofiles.errors import StorageError
from search.states import JobState, TrialState
from search.store import Store, digests_of, revision, this_process, upgrade
from search.store import upgrade as upgrade_function
from search.store.base_model import Base
from search.store.revision import HEAD, VERSION_TABLE

DUMPS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))


def _execute(url: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _differences(url: str) -> list[object]:
    """Lists what the tables of a database and the models differ in."""
    engine = sqlalchemy.create_engine(url)
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    return list(differences)


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(revision.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


class TestMigrations:
    def test_upgrading_an_empty_database(self, empty_database_url: str) -> None:
        assert upgrade(empty_database_url) == (None, HEAD)
        assert upgrade(empty_database_url) == (HEAD, HEAD)
        with Store(empty_database_url) as store:
            assert store.jobs.all() == []

    def test_migrations_make_what_the_models_say(self, database_url: str) -> None:
        assert _differences(database_url) == []

    def test_every_constraint_is_made_by_name(self, database_url: str) -> None:
        # What the comparison above does not see on every database.
        engine = sqlalchemy.create_engine(database_url)
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

    def test_an_older_database_asks_to_be_upgraded(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules[upgrade_function.__module__], "HEAD", "0999")
        monkeypatch.setattr(revision, "HEAD", "0999")
        with pytest.raises(StorageError, match=f"has schema {HEAD}, Paretune needs 0999") as caught:
            Store(database_url)
        assert caught.value.hint == "run: paretune db upgrade"

    def test_a_newer_database_asks_for_a_newer_paretune(self, database_url: str) -> None:
        _execute(database_url, f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
        for use in (Store, upgrade):
            with pytest.raises(StorageError, match="has schema 0999, newer than") as caught:
                use(database_url)
            assert caught.value.hint.startswith("upgrade Paretune")

    def test_a_database_of_another_program_is_left_alone(self, empty_database_url: str) -> None:
        _execute(
            empty_database_url,
            "CREATE TABLE trials (number INTEGER)",
            "CREATE TABLE alembic_version (version_num TEXT)",
        )
        for use in (Store, upgrade):
            with pytest.raises(StorageError, match="holds another program's tables"):
                use(empty_database_url)

    def test_a_failing_upgrade_changes_nothing(self, empty_database_url: str) -> None:
        # A view is no table, so the database counts as empty; but one of our names is taken.
        _execute(empty_database_url, "CREATE VIEW exports AS SELECT 1 AS one")
        with pytest.raises(StorageError, match="exports"):
            upgrade(empty_database_url)
        engine = sqlalchemy.create_engine(empty_database_url)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        engine.dispose()


class TestEarlierSchemas:
    """``schemas/`` holds what earlier versions stored of a small search: new revisions add a dump of each kind."""

    def test_every_revision_before_this_has_a_dump_of_each_kind(self) -> None:
        earlier = [f"{number:04}" for number in range(1, int(HEAD))]
        assert {dump.name[:4] for dump in DUMPS if ".sqlite" in dump.name} == set(earlier)
        assert {dump.name[:4] for dump in DUMPS if ".postgresql" in dump.name} == set(earlier)

    @pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
    def test_what_it_stored_is_upgraded(self, databases: Databases, dump: Path) -> None:
        url = databases.restore(dump)
        with pytest.raises(StorageError, match=f"has schema {dump.name[:4]}, Paretune needs"):
            Store(url)
        assert upgrade(url) == (dump.name[:4], HEAD)
        assert _differences(url) == []
        with Store(url) as store:
            job = store.jobs.get("an earlier search")
            trials = store.trials.of_job(job.job_id)
            front = store.fronts.get(job.job_id)
            assert store.trials.by_state(job.job_id) == Counter(trial.state for trial in trials)
            fastest = store.trials.page(job.job_id, list(TrialState), 9, metric="speedup", down=True)
            assert fastest == sorted(trials, key=lambda trial: (-trial.metrics["speedup"]["ratio"], -trial.number))
            lease = store.jobs.lease(job.job_id, this_process())
            store.jobs.set_state(lease, JobState.RUNNING)
            store.trials.set_state(lease, trials[-1].candidate_id, TrialState.BUILDING)
        assert (job.state, len(trials), job.spec["seed"]) == (JobState.DONE, 6, 0)
        assert digests_of(job) == {"dry-run": job.profile_digest}
        assert all(trial.metrics["speedup"]["ratio"] > 0 for trial in trials)
        assert front is not None
        assert set(front["members"]) <= {trial.candidate_id for trial in trials}
        databases.drop(url)


class TestNewDatabases:
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

    def test_a_database_on_a_server_is_prepared_on_request_only(self, databases: Databases) -> None:
        url = databases.create("postgresql", empty=True)
        with pytest.raises(StorageError, match=f"has no schema, Paretune needs {HEAD}") as caught:
            Store(url)
        assert caught.value.hint == "run: paretune db upgrade"
        databases.drop(url)

    def test_processes_that_prepare_a_database_together_all_succeed(
        self, empty_database_url: str, environment: dict[str, str]
    ) -> None:
        code = """
import sys
from search.store import Store, upgrade
url = sys.argv[1]
sys.stdin.readline()
if url.startswith("postgresql"):
    upgrade(url)
print(Store(url).jobs.all())
"""
        command = [sys.executable, "-c", code, empty_database_url]
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
