"""The wheel in environments of its own: what each of them can do, and that no hint names what it does not have."""

from __future__ import annotations

import ast
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest
from installation import ROOT, Environment, build
from small_jobs import write_classifier

from dashboards.server import background
from search.store import Store

PACKAGES = ("hwprofiles", "evaluators", "search", "dashboards", "paretune")
VERSION = f"paretune {metadata.version('paretune')}\n"
PLACE = re.compile(r"(?<![\w/.])(?:docs|examples|scripts|tests|benchmarks)/[\w.-]+")


CAME = {
    "paretune", "numpy", "psutil", "platformdirs", "PyYAML",
    "httpx", "httpcore", "h11", "anyio", "idna", "certifi",
    "typer", "shellingham", "annotated-doc", "pydantic", "pydantic_core", "annotated-types", "typing-inspection",
    "typing_extensions", "rich", "markdown-it-py", "mdurl", "Pygments",
}  # fmt: skip
"""What comes with ``paretune[client]``."""


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment.make(tmp_path_factory.mktemp("base") / "env")
    made.install(wheel)
    return made


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What a laptop has that asks a server."""
    made = Environment.make(tmp_path_factory.mktemp("client") / "env", with_pip=True)
    made.install(f"{wheel}[client]")
    return made


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, and the packages of this environment in place of those that ``[full]`` would fetch."""
    made = Environment.make(tmp_path_factory.mktemp("full") / "env")
    made.install("--no-deps", wheel)
    made.see(place for place in sys.path if place.endswith("site-packages"))
    return made


@pytest.fixture(scope="module")
def fetched(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """``[full]`` with everything that it needs, installed anew."""
    made = Environment.make(tmp_path_factory.mktemp("fetched") / "env")
    made.install("torch==2.13.0")
    made.install(f"{wheel}[full]")
    return made


class TestWheel:
    def test_it_has_everything_that_is_read_at_run_time(self, wheel: Path) -> None:
        inside = set(zipfile.ZipFile(wheel).namelist())
        for package in PACKAGES:
            for path in (ROOT / package).rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    assert str(path.relative_to(ROOT)) in inside
        assert "dashboards/web/static/vendor/echarts.min.js" in inside
        for folder, kinds in (("docs", "*.md"), ("examples", "*.yaml")):
            names = {path.name for path in (ROOT / folder).glob(kinds)}
            assert names
            assert {f"dashboards/{folder}/{name}" for name in names} <= inside

    def test_it_has_nothing_else(self, wheel: Path) -> None:
        tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        assert tops == {*PACKAGES, f"paretune-{metadata.version('paretune')}.dist-info"}
        assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".onnx", ".npz", ".pyc"))]

    def test_the_licence_is_stated(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            assert message_from_bytes(archive.read(name))["License-Expression"] == "Apache-2.0"

    def test_the_sdist_makes_the_same_wheel(self, wheel: Path, tmp_path: Path) -> None:
        with tarfile.open(build("sdist", tmp_path / "sdist")) as archive:
            archive.extractall(tmp_path, filter="data")
        (source,) = tmp_path.glob("paretune-*")
        again = build("wheel", tmp_path / "wheel", source)
        assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


class TestBase:
    def test_it_says_what_it_can_do(self, base: Environment) -> None:
        assert base.output("paretune", "--version") == VERSION
        assert "paretune[full]" in base.output("paretune", "--help")
        assert "--token-file" in base.output("paretune", "agent", "--help")

    def test_other_commands_say_what_to_install(self, base: Environment) -> None:
        refused = base.run("paretune", "devices", "list")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[-1] == f"  hint: {base.programs / 'python'} -m pip install 'paretune[full]'"

    def test_the_shell_s_own_pip_is_named_shortly(self, base: Environment) -> None:
        pip = base.programs / "pip"
        pip.touch(mode=0o755)
        try:
            refused = base.run("paretune", "jobs", PATH=str(base.programs))
        finally:
            pip.unlink()
        assert refused.stderr.splitlines()[-1] == "  hint: pip install 'paretune[full]'"

    def test_python_says_it_too(self, base: Environment) -> None:
        version = base.output("python", "-c", "import paretune; print('paretune', paretune.__version__)")
        assert version == VERSION
        refused = base.run("python", "-c", "import paretune; paretune.run")
        assert "ModuleNotFoundError" in refused.stderr
        assert "pip install 'paretune[full]'" in refused.stderr.splitlines()[-1]


class TestClient:
    def test_what_comes_with_it(self, client: Environment) -> None:
        listed = json.loads(client.output("python", "-m", "pip", "list", "--format", "json"))
        assert {package["name"] for package in listed} - {"pip", "setuptools", "wheel"} == CAME

    def test_from_a_model_to_its_export(self, client: Environment, tmp_path: Path) -> None:
        """Everything that a laptop does, against a server whose worker is played by this test."""
        write_classifier(tmp_path)
        with Store(f"sqlite:///{tmp_path / 'paretune.db'}") as store, background(store) as address:
            home = {"PARETUNE_HOME": str(tmp_path / "laptop"), "PARETUNE_SERVER": address}
            line = ("submit", tmp_path / "model.onnx", "--data", tmp_path / "samples.npz", "--device", "dry-run")
            job = json.loads(client.output("paretune", *line, "--format", "json", **home))["job_id"]
            assert set(store.jobs.get(job).files or ()) == {"model.onnx", "samples.npz"}
            assert job in client.output("paretune", "jobs", **home)
            program = f"import paretune; print(paretune.Client().job({job!r}).status.state)"
            assert client.output("python", "-c", program, **home) == "queued\n"
            assert "cancelled" in client.run("paretune", "cancel", job, **home).stderr
            refused = client.run("paretune", "run", "digits", **home)
            assert refused.stderr.splitlines()[-1].endswith("pip install 'paretune[full]'")
            assert "(needs more packages)" in client.output("paretune", "--help", **home)


class TestFull:
    def test_it_reads_its_own_files(self, full: Environment) -> None:
        check_full(full)

    def test_no_hint_names_a_file_of_the_repository(self) -> None:
        named = [(path.name, PLACE.findall(text)) for path, text in texts()]
        assert not [found for found in named if found[1]]

    def test_every_hint_s_command_works(self, full: Environment) -> None:
        hints = {match for _, text in texts() for match in re.findall(r"paretune ((?:[a-z-]+ ?)+)", text)}
        commands, lines = set(), set()
        for words in map(str.split, hints):
            commands.add((words[0], "--help"))
            if words[0] in ("docs", "examples"):
                lines.add(tuple(words[:2]))
        assert ("docs", "job-file") in lines
        program = (
            "import json, sys\nfrom dashboards.cli import run_app\n"
            "print(*[line for line in json.loads(sys.argv[1]) if run_app(line) != 0], file=sys.stderr)"
        )
        asked = full.run("python", "-c", program, json.dumps(sorted(commands | lines)))
        assert asked.stderr.splitlines()[-1:] == [""], asked.stderr


@pytest.mark.dist
def test_everything_fetched_anew(fetched: Environment) -> None:
    check_full(fetched)
    job = fetched.folder / "digits.yaml"
    fetched.output("paretune", "examples", "digits", "-o", job)
    printed = fetched.output(
        "paretune", "run", job, "--device", "dry-run", "--trials", "6", PARETUNE_HOME=str(job.parent / "home")
    )
    assert "dry run" in printed


def check_full(full: Environment) -> None:
    """Commands that read files of the package."""
    home = {"PARETUNE_HOME": str(full.folder / "home")}
    code = "import dashboards, paretune; print(dashboards.__file__)"
    assert full.output("python", "-c", code).startswith(str(full.folder))
    assert full.output("paretune", "--version", **home) == VERSION
    assert "examples" in full.output("paretune", "--help", **home)
    assert "--token-file" in full.output("paretune", "agent", "--help", **home)
    assert "raspberry-pi-5" in full.output("paretune", "devices", "list", **home)
    assert full.output("paretune", "docs", "job-file", **home) == (ROOT / "docs" / "job-file.md").read_text()
    example = full.folder / "one.yaml"
    full.output("paretune", "examples", "digits", "-o", example, **home)
    assert example.read_text() == (ROOT / "examples" / "digits.yaml").read_text()
    example.unlink()
    full.output("paretune", "db", "upgrade", **home)
    pages = (
        "from dashboards.web import rendering as r; page = r.render('jobs.html', jobs=[], cursor=None, next=None); "
        "print(r.has_chart_library(), page > '')"
    )
    assert full.output("python", "-c", pages, **home) == "True True\n"


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the product's code that is no docstring, and its templates."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    yield path, "".join(str(p.value) if isinstance(p, ast.Constant) else "VALUE" for p in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                    yield path, node.value
    for path in sorted((ROOT / "dashboards" / "web" / "templates").glob("*.html")):
        yield path, path.read_text()
