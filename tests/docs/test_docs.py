"""Documentation that fails: commands, options, fields, routes, states and examples are held against the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from enum import EnumType
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from capability_record import capability_of
from pydantic import BaseModel
from small_jobs import classifier

from dashboards.api.problems import problem
from dashboards.cli.commands import build_app
from dashboards.documents.candidates import candidate_document
from dashboards.documents.capability import document_of
from dashboards.documents.devices import check_document, device_document, probe_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.documents.layers import layers_document
from dashboards.documents.learning import learning_document
from dashboards.documents.trials import trials_document
from dashboards.server import create_app
from dashboards.service.exporting import ExportOptions
from dashboards.service.submission import Submission, SubmittedOptions
from evaluators.devices.check import Check
from evaluators.graphs.layer_groups import MIN_EMBEDDING_WEIGHTS
from evaluators.graphs.model import HIGHEST_OPSET, LOWEST_OPSET
from evaluators.measuring.statistics import PERCENTILE_SAMPLES, RESAMPLES
from evaluators.probing.operators import FAMILIES
from evaluators.probing.operators_probe import PROBE_S
from evaluators.quantize.calibration import BINS, METHODS, PERCENTILE
from hwprofiles import DEVICES, Precision, find_device, probe
from hwprofiles.catalogue import catalogue
from hwprofiles.description import KEYS, KINDS, parse_description
from hwprofiles.errors import CandidateError, ParetuneError
from hwprofiles.gpus import Gpu
from hwprofiles.peaks import FORMATS
from search import states
from search.analysis import BITS, analyse_weights, device_view
from search.analysis.gaussian import pruning_db, quantisation_db
from search.controller.scheduler import REPEATS_UNTIL_EXHAUSTED
from search.controller.submission import submit
from search.export.remeasurement import MEASUREMENTS
from search.filters import FILTERS
from search.job.spec import Job, parse_job
from search.outcome import TrialOutcome
from search.prediction import accuracy as prediction_accuracy
from search.prediction import tables
from search.prediction.correction import Correction, accuracy
from search.space.candidate import Decision, Space
from search.states import TrialState
from search.store import Store, this_process
from search.strategies import STRATEGIES, Reward
from search.tasks import TASKS
from search.tasks.onnx import ENOUGH_TO_SPLIT
from search.techniques import TECHNIQUES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
ALL_PAGES = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PACKAGES = ("hwprofiles", "evaluators", "search", "dashboards", "paretune")
SHELLS = ("bash", "sh", "shell", "console", "text", "")

FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"<!-- fields of ([\w.]+):(\w+) -->\n((?:\|[^\n]*\n)+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w-])paretune (?=[a-z-])([^\n]*)")


def page(name: str) -> str:
    return (DOCS / name).read_text()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_blocks(text: str) -> str:
    return FENCE.sub("", text)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block; ``tags`` are the words behind its opening fence."""

    place: str
    tags: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        return self.tags[0] if self.tags else ""


def blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text()
    for match in FENCE.finditer(text):
        place = f"{name_of(path)}:{text[: match.start()].count(chr(10)) + 1}"
        yield Block(place, tuple(match[2].split()), re.sub(f"^{match[1]}", "", match[3], flags=re.MULTILINE))


BLOCKS = [block for path in ALL_PAGES for block in blocks_of(path)]


def tagged(language: str, tag: str) -> list[Any]:
    return [pytest.param(b, id=b.place) for b in BLOCKS if b.language == language and tag in b.tags[1:]]


def the_json(tag: str) -> Any:
    (block,) = [b for b in BLOCKS if b.language == "json" and b.tags[1:] == (tag,)]
    return json.loads(block.text)


# The command line


def commands(command: Any = None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command by its words, the groups too."""
    command = command or typer.main.get_command(build_app())
    found = {path: command}
    for name, inner in getattr(command, "commands", {}).items():
        found |= commands(inner, (*path, name))
    return found


COMMANDS = commands()
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


def options(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "option"]


def choices_of(option: Any) -> list[str]:
    kind = option.type_descriptor.annotation
    return list(kind) if isinstance(kind, EnumType) else []


def section_of(path: tuple[str, ...]) -> str:
    """What docs/command-line.md says of a command, from its heading to the next."""
    text = page("command-line.md")
    match = re.search(rf"^### `paretune {' '.join(path)}[ `].*?(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert match, f"docs/command-line.md has no section for paretune {' '.join(path)}"
    return match[0]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_is_documented_with_its_options_and_defaults(path: tuple[str, ...]) -> None:
    section = section_of(path)
    rows = [line for line in section.splitlines() if line.startswith("| `-")]
    documented = {option for row in rows for option in re.findall(r"-{1,2}[a-z-]+(?=[ `,])", row.split("|")[1])}
    assert documented == {name for option in options(LEAVES[path]) for name in option.opts}
    for option in options(LEAVES[path]):
        (row,) = [row for row in rows if f"{option.opts[-1]} " in row or f"{option.opts[-1]}`" in row]
        if option.default not in (None, False):
            assert f"`{option.default}`" in row.split("|")[2], row
        for choice in choices_of(option):
            assert f"`{choice}`" in row, row


def test_every_option_of_the_program_itself_is_documented() -> None:
    for option in options(COMMANDS[()]):
        for name in option.opts:
            assert f"`{name}`" in page("command-line.md")


def test_no_section_is_about_a_command_that_is_not_there() -> None:
    headings = re.findall(r"^### `paretune ([^`]*)`", page("command-line.md"), re.MULTILINE)
    found = {tuple(word for word in heading.split() if re.fullmatch("[a-z]+", word)) for heading in headings}
    assert found == set(LEAVES)


def quoted_commands(path: Path) -> Iterator[tuple[str, str]]:
    """Place and arguments of each ``paretune …`` in a shell block or in code within a sentence."""
    for block in blocks_of(path):
        if block.language in SHELLS:
            for match in COMMAND.finditer(block.text.replace("\\\n", " ")):
                yield block.place, match[1]
    for code in re.findall(r"`([^`\n]+)`", without_blocks(path.read_text())):
        for match in COMMAND.finditer(code):
            yield name_of(path), match[1]


QUOTED = sorted({quoted for path in ALL_PAGES for quoted in quoted_commands(path)})


def check_command(line: str) -> None:
    """Fails unless a command exists and takes these arguments; CAPITALS stand for any value."""
    words = shlex.split(re.split(r"&&|[|;>&…]", line)[0], comments=True)
    command, arguments = COMMANDS[()], 0
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            name, _, value = word.partition("=")
            known = {opt: option for option in options(command) for opt in option.opts}
            known |= dict.fromkeys(("-h", "--help", "--debug"))
            assert name in known, f"{command.name} has no option {name}"
            option = known[name]
            if option is None or option.is_flag:
                continue
            value = value or (words.pop(0) if words else "")
            assert value, f"{name} needs a value"
            if not re.fullmatch(r"[A-Z]+", value):
                option.type_descriptor.annotation(value)  # a ValueError where it does not fit
        elif hasattr(command, "commands"):
            assert word in command.commands, f"there is no command {word!r}"
            command = command.commands[word]
        else:
            arguments += 1
    taken = sum(p.param_type_name == "argument" for p in command.params)
    assert arguments <= taken, f"{command.name} takes {taken} arguments, not {arguments}"


@pytest.mark.parametrize(("place", "line"), QUOTED)
def test_every_quoted_command_exists(place: str, line: str) -> None:
    check_command(line)


@pytest.mark.parametrize("line", ["fly", "run job.yaml --speed 3", "jobs --format tabel", "show a b"])
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check_command(line)


def texts_of(path: Path) -> Iterator[str]:
    """Every text in a module, with VALUE for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("package", PACKAGES)
def test_hints_name_commands_that_exist(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for text in texts_of(path):
            for match in re.finditer(r"paretune ([a-z][a-z-]*(?: [A-Za-z./_-]+)*)", text):
                check_command(match[1])


def test_exit_codes_are_documented() -> None:
    table = page("command-line.md").partition("## Exit codes")[2]
    rows = {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| ")}
    for error in [ParetuneError, *ParetuneError.__subclasses__()]:
        if error is not CandidateError and error.__module__ == "hwprofiles.errors":
            assert f"`{error.__name__}`" in rows[str(error.exit_code)]
    assert {"0", "130"} <= rows.keys()


def test_environment_variables_are_documented() -> None:
    used = _variables(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert used == _variables([DOCS / "command-line.md"])
    tests = _variables(path for path in (ROOT / "tests").rglob("*.py")) - used
    assert tests - {"PARETUNE_"} <= _variables([ROOT / "CONTRIBUTING.md"])


def _variables(paths: Any) -> set[str]:
    return {name for path in paths for name in re.findall(r"PARETUNE_[A-Z_]*[A-Z]", path.read_text())}


# The job file, and other tables of fields


def models_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those in its fields."""
    yield model
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from models_of(kind)


MODELS = {
    *models_of(Job),
    *(family[name].Options for family in (TASKS, TECHNIQUES, STRATEGIES, FILTERS) for name in family),
}
TABLES = {(m[1], m[2]): m[3] for path in PAGES for m in TABLE.finditer(path.read_text())}
# Values for fields that have no default, so that a model can be made.
NEEDED = {"task": {"name": "digits"}, "direction": "max"}


def rows_of(table: str) -> dict[str, list[str]]:
    """First cell's code to the row's cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row for row in rows}


@pytest.mark.parametrize("model", sorted(MODELS, key=lambda m: m.__name__), ids=lambda m: m.__name__)
def test_every_field_is_documented_with_its_default(model: type[BaseModel]) -> None:
    assert (model.__module__, model.__name__) in TABLES, f"no table 'fields of {model.__module__}:{model.__name__}'"
    rows = rows_of(TABLES[model.__module__, model.__name__])
    assert rows.keys() == model.model_fields.keys()
    needed = {name: NEEDED.get(name, "x") for name, field in model.model_fields.items() if field.is_required()}
    usual, shown = model.model_validate(needed), model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        written = rows[name][2]
        if field.is_required():
            assert written == "required", name
        elif isinstance(getattr(usual, name), BaseModel) or not (field.default_factory or "default" in shown[name]):
            assert written.startswith("[below](#"), name
        else:
            given = model.model_validate({**needed, name: yaml.safe_load(written.strip("`"))})
            assert getattr(given, name) == getattr(usual, name), name


def test_every_table_of_fields_is_about_something() -> None:
    for module, name in TABLES:
        assert hasattr(importlib.import_module(module), name)


def test_the_protocol_is_documented_as_it_is() -> None:
    from evaluators.measuring.latency import Protocol

    rows = rows_of(TABLES["evaluators.measuring.latency", "Protocol"])
    assert {name: yaml.safe_load(row[2].strip("`")) for name, row in rows.items()} == dataclasses.asdict(Protocol())
    text = page("measurement.md")
    for percent, samples in PERCENTILE_SAMPLES.items():
        assert re.search(rf"`p{percent}` from {samples}", text)
    assert f"{RESAMPLES} resamples" in text
    half_width = Protocol().half_width
    assert f"±{half_width:.0%}".replace("%", " %") in text
    assert f"±{Protocol().usable_width:.0%}".replace("%", " %") in text
    assert MEASUREMENTS == 3
    assert "up to three times" in text


def test_health_is_documented_as_it_is_judged() -> None:
    from evaluators.health import VERDICTS, Tolerance
    from evaluators.health.history import KEPT
    from evaluators.health.watch import SHORTEST_S, SIGNALS
    from evaluators.measuring.throughput import Load

    rows = rows_of(TABLES["evaluators.measuring.throughput", "Load"])
    assert {name: yaml.safe_load(row[2].strip("`")) for name, row in rows.items()} == dataclasses.asdict(Load())
    rows = rows_of(TABLES["evaluators.health.verdict", "Tolerance"])
    assert {name: yaml.safe_load(row[1].strip("`")) for name, row in rows.items()} == dataclasses.asdict(Tolerance())
    text = page("measurement.md").partition("\n## Health\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text.partition("| signal |")[0], re.MULTILINE)) == set(VERDICTS)
    signals = text.partition("| signal | of |")[2].partition("\n\n")[0]
    named = [name for row in signals.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert set(named) == set(SIGNALS)
    assert f"the last {KEPT}" in " ".join(text.split())
    assert f"from {SHORTEST_S} s" in " ".join(text.split())


def test_the_least_number_of_inferences_is_documented_as_it_is() -> None:
    from evaluators.measuring.latency import Protocol

    protocol = Protocol()
    pair = protocol.warm_up_runs + 1 + protocol.blocks * (1 + protocol.runs_of(1e9))
    assert f"at least {protocol.few_pairs * pair} inferences" in page("troubleshooting.md")


def test_other_numbers_are_documented_as_they_are() -> None:
    precision, job = page("precision.md"), page("job-file.md")
    for method in METHODS:
        assert f"| `{method}` |" in precision
    assert f"{PERCENTILE} %" in precision
    assert f"{BINS} bins" in precision
    assert f"fewer than {MIN_EMBEDDING_WEIGHTS} weights" in precision
    assert f"ewer than {ENOUGH_TO_SPLIT} samples" in job
    assert f"opset of {LOWEST_OPSET} to {HIGHEST_OPSET}" in page("troubleshooting.md")
    assert f"After {REPEATS_UNTIL_EXHAUSTED} repeats" in page("architecture.md")


def test_the_description_of_a_device_is_one() -> None:
    (block,) = [b for b in BLOCKS if b.place.startswith("docs/devices.md") and b.language == "toml"]
    found = parse_description(block.text, block.place)
    assert found.profile(threads=2).simulated
    table = page("devices.md").partition("| key | meaning |")[2].partition("\n\n")[0]
    keys = {key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert keys == set(KEYS)
    assert all(f"`{name}`" in table for name in (*KINDS, *FORMATS))


def test_the_checks_of_a_device_are_documented() -> None:
    table = page("devices.md").partition("| check | fails when |")[2].partition("\n\n")[0]
    named = {re.sub(r" NAME$", " ", name) for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)}
    code = "".join(
        (ROOT / path).read_text()
        for path in (
            "evaluators/devices/check.py",
            "search/devices/check.py",
            "dashboards/cli/probing.py",
        )
    )
    made = set(re.findall(r'Check\(\s*f?"([^"{]+)', code))
    assert named == made - {"modelled"}


def test_names_that_can_be_chosen_are_documented() -> None:
    job = page("job-file.md")
    for name in (*TASKS, *STRATEGIES, *TECHNIQUES):
        assert re.search(rf"^### {name}$", job, re.MULTILINE), name
    for name in DEVICES:
        assert f"`{name}`" in job
    for name, description in catalogue().items():
        assert f"| `{name}` | {description.title} |" in page("devices.md")
    for precision in Precision:
        assert f"| `{precision}` |" in page("precision.md").replace("`**", "`")


def test_states_are_documented() -> None:
    text = page("architecture.md")
    for state in (*states.JobState, *states.TrialState):
        assert f"`{state}`" in text, state


def test_cache_folders_are_documented() -> None:
    code = "\n".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    used = set(re.findall(r'cache(?:_folder\(\))? / "(\w+)"', code))
    documented = re.findall(r"^\| cache folder, ([^|]*)\|", page("architecture.md"), re.MULTILINE)
    assert used == set(re.findall(r"`(\w+)/`", " ".join(documented)))


# Examples


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    for block in BLOCKS:
        for tag in block.tags:
            if tag.startswith("file="):
                (folder / tag.removeprefix("file=")).write_text(block.text)
    return folder


@pytest.mark.parametrize("block", tagged("yaml", "job"))
def test_job_examples_are_jobs(block: Block, example_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: (0, 1, 2, 3))
    parse_job(yaml.safe_load(block.text), folder=example_folder)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in BLOCKS if b.tags == ("yaml",)])
def test_job_examples_of_the_readme_are_jobs(block: Block, example_folder: Path) -> None:
    data = yaml.safe_load(block.text)
    if "task" in data:
        parse_job(data, folder=example_folder)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_example_files_are_jobs(path: Path) -> None:
    parse_job(yaml.safe_load(path.read_text()), folder=path.parent)


@pytest.mark.parametrize("block", tagged("python", "runnable"))
def test_python_examples_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.text, block.place, "exec"), names)
    if "make_task" in names:
        assert names["make_task"]().digest == names["make_task"]().digest


def test_every_python_and_yaml_block_is_checked() -> None:
    loose = [b.place for b in BLOCKS if b.language in ("python", "py", "yaml", "yml") and len(b.tags) == 1]
    assert [place for place in loose if place.startswith("docs/")] == []


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in BLOCKS if b.language == "json"])
def test_json_examples_are_json(block: Block) -> None:
    json.loads(block.text)


# JSON and REST


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with one job, which has one candidate."""
    folder = tmp_path_factory.mktemp("store")
    with Store(f"sqlite:///{folder}/jobs.db") as opened:
        job = parse_job({"name": "digits", "task": {"name": "digits"}, "devices": ["dry-run"]}, folder=folder)
        lease = opened.jobs.lease(submit(opened, job, folder), this_process())
        space = Space((Decision("precision:stem", ("fp32", "int8"), "precision", target="stem", scope="layer"),), "")
        opened.jobs.set_preparation(lease, space=space.to_dict(), baseline={"metrics": {"cosine": 1.0}, "facts": {}})
        (row,) = opened.trials.add(lease, 0, "nsga2", True, [(0, space.baseline())])
        metrics = {"cosine": 1.0, "speedup": {"ratio": 1.0, "ci95": [0.9, 1.1]}}
        opened.trials.finish(
            lease, row.candidate_id, TrialOutcome(TrialState.DONE, metrics=metrics, measurement={"verdict": "stable"})
        )
        opened.exports.add(row.candidate_id, "bundle", "confirmed", {})
        front = {"objectives": [{"metric": "speedup", "direction": "max"}], "members": [row.candidate_id]}
        opened.fronts.add(lease, front)
        yield opened


def check_keys(documented: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """The same keys, at the top and in what lies one step below."""
    assert documented.keys() == given.keys()
    for key in ("trials", "front", "objectives", "budget", "progress", "measurements", "exports"):
        one, other = documented.get(key), given.get(key)
        if isinstance(one, list) and one and isinstance(other, list):
            one, other = one[0], other[0]
        if isinstance(one, Mapping):
            assert one.keys() == other.keys(), key


def test_json_documents_are_as_documented(store: Store) -> None:
    front, trials = front_document(store, "digits"), trials_document(store, "digits")
    check_keys(the_json("front"), front)
    check_keys(the_json("trials"), trials)
    check_keys(the_json("status"), job_document(store, "digits"))
    candidate = candidate_document(store, front["front"][0]["candidate_id"])
    member = {key: value for key, value in the_json("front")["front"][0].items() if key != "like"}
    check_keys(member | the_json("candidate"), candidate)
    check_keys(the_json("layers"), layers_document(store, "digits"))
    check_keys(the_json("learning"), learning_document(store.jobs.get("digits")))
    (documented,) = the_json("learning")["rewards"]
    assert documented.keys() == {"trial"} | {field.name for field in dataclasses.fields(Reward)} - {"digest"}
    check_keys(the_json("device"), device_document("dry-run"))
    given, documented = probe_document(), the_json("probe")
    check_keys(documented, given)
    assert documented["machine"].keys() == given["machine"].keys()
    assert documented["gpus"][0].keys() == Gpu(0, "NVIDIA Example").to_dict().keys()
    check_keys(the_json("check"), check_document("dry-run", None, (Check("pinning", "ok", ""),)))
    assert the_json("check")["checks"][0].keys() == Check("pinning", "ok", "").to_dict().keys()
    documented = the_json("problem")
    assert documented == problem(404, documented["detail"], documented["hint"], documented["instance"])


def test_json_documents_of_several_devices_are_as_documented(store: Store, tmp_path: Path) -> None:
    devices = ["dry-run", {"name": "dry-run", "batch": 8}]
    job = parse_job({"name": "two", "task": {"name": "digits"}, "devices": devices}, folder=tmp_path)
    submit(store, job, tmp_path)
    front, documented = front_document(store, "two"), the_json("fronts")
    assert front.keys() - the_json("front").keys() == documented.keys()
    (part,) = documented["fronts"].values()
    for one in front["fronts"].values():
        assert one.keys() == part.keys()
    assert front["joint"].keys() == documented["joint"].keys()
    text = page("api.md") + page("command-line.md")
    for document in (trials_document(store, "two"), job_document(store, "two")):
        assert "`devices`" in text
        assert "devices" in document
    for key in job_document(store, "two")["devices"][0]:
        assert f"`{key}`" in text


def test_documents_about_capability_and_layers_are_as_documented() -> None:
    profile = find_device("dry-run")
    given, documented = document_of(profile, capability_of(profile)), the_json("capability")
    check_keys(documented, given)
    assert documented["sweeps"][0].keys() == given["sweeps"][0].keys()
    assert documented["sweeps"][0]["points"][0].keys() == given["sweeps"][0]["points"][0].keys()
    (assessed,) = the_json("prediction").values()
    assert assessed["plain"].keys() == accuracy([1.0, 2.0], [1.0, 2.0]).keys()
    assert assessed["plain"]["relative_error"].keys() == accuracy([1.0], [1.0])["relative_error"].keys()
    assert assessed["correction"].keys() == dataclasses.asdict(Correction()).keys()
    ((table,),) = the_json("layers")["devices"].values()
    assert table["layers"][0]["times"]["fp32"].keys() == {"precision", "ms", "ratio", "ci95", "reason"}
    text = page("capability.md")
    assert f"after {PROBE_S:.0f} seconds" in text
    assert f"up to {tables.LIMIT_S:.0f} seconds" in text
    assert prediction_accuracy.ENOUGH == 8
    assert "fewer than nine candidates" in text
    for family in FAMILIES:
        assert f"| `{family.name}` | {family.about} |" in text


def test_the_analysis_is_as_documented() -> None:
    profile = find_device("dry-run")
    given: dict[str, Any] = {**analyse_weights(classifier()), "device": device_view(profile, capability_of(profile))}
    documented = the_json("analysis")
    assert documented.keys() - {"model", "recovered"} == given.keys()
    for key in ("bits", "layers"):
        assert documented[key][0].keys() == given[key][0].keys()
    assert documented["layers"][0]["points"][0].keys() == given["layers"][0]["points"][0].keys()
    assert documented["bits"][0]["gaussian"].keys() == given["bits"][0]["gaussian"].keys()
    assert documented["device"].keys() == given["device"].keys()
    assert documented["device"]["gains"][0].keys() == given["device"]["gains"][0].keys()
    text = page("analysis.md")
    for bits in (8, 4, 3, 2):
        assert f"| {bits} | {quantisation_db(bits):.1f} dB | {pruning_db(bits):.1f} dB |" in text
    assert f"Sizes are {', '.join(map(str, BITS[:-1]))} and {BITS[-1]} bits" in text


def test_routes_are_documented(store: Store) -> None:
    text = page("api.md")
    routes = create_app(store).openapi()["paths"]
    for path, methods in routes.items():
        for method, description in methods.items():
            row = next((line for line in text.splitlines() if line.startswith(f"| `{method.upper()} {path}` |")), None)
            assert row is not None, f"{method.upper()} {path}"
            for parameter in description.get("parameters", ()):
                if parameter["in"] == "header":
                    assert f"`{parameter['name']}`".lower() in text.lower(), parameter["name"]
                else:
                    assert parameter["in"] == "path" or f"?{parameter['name']}=" in row, row
    documented = set(re.findall(r"^\| `[A-Z]+ ([^`]*)` \|", text, re.MULTILINE))
    assert documented == {*routes, "/openapi.json"}


def test_bodies_are_documented() -> None:
    submitting = page("api.md").partition("## Submitting")[2].partition("\n## ")[0]
    options = re.search(r"`options` in place of the job file's fields \(([^;]*);", submitting)
    assert options is not None
    assert re.findall(r"`(\w+)`", options[1]) == list(SubmittedOptions.model_fields)
    lists = sum("tuple" in str(field.annotation) for field in SubmittedOptions.model_fields.values())
    assert f"; {['no', 'one', 'two', 'three', 'four'][lists]} of them are lists" in submitting
    for name in Submission.model_fields:
        assert f"`{name}`" in submitting, name
    row = next(line for line in page("api.md").splitlines() if "{candidate}/exports`" in line)
    for name in ExportOptions.model_fields:
        assert f"`{name}`" in row, name


def test_pages_and_events_are_documented(store: Store) -> None:
    text = page("api.md")
    from dashboards.api.events import Changes
    from dashboards.documents.report import JobReport

    for name, _ in Changes().since_last(JobReport.read(store, "digits")):
        assert f"| `{name}` |" in text
    views = (ROOT / "dashboards" / "web" / "views.py").read_text()
    for path in re.findall(r'@router.get\("([^"]*)"', views):
        assert f"| `{path}` |" in text or path.startswith("/live/"), path


# Everything


@pytest.mark.parametrize("path", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(without_blocks(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = path if not place else (path.parent / place).resolve()
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file), target


def anchors_of(path: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_names_every_page() -> None:
    for path in PAGES:
        assert path.name == "index.md" or path.name in page("index.md")


@pytest.mark.parametrize("path", ALL_PAGES, ids=name_of)
def test_no_page_names_a_place_on_some_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.:])(?:/work|/root|/home|/tmp|/Users|/mnt)/\S*|[A-Z]:\\", path.read_text()) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages_name_files_and_modules_that_exist(path: Path) -> None:
    folders = "|".join((*PACKAGES, "examples", "scripts", "tests"))
    for named in re.findall(rf"`((?:{folders})/[^`:]*)", path.read_text()):
        assert (ROOT / named).exists(), named


def test_messages_of_the_troubleshooting_page_are_said_somewhere() -> None:
    code = "\n".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    known = {*states.TrialState, *states.JobState, "unexpected keyword argument"}  # the last is Python's own
    for row in page("troubleshooting.md").splitlines():
        if not row.startswith("| ") or row.startswith(("| ---", "| message", "| state")):
            continue
        for message in re.findall(r"`([^`]+)`", row.split("|")[1]):
            assert message in code or message in known, message


def test_findings_are_documented() -> None:

    from search.analysis import bottlenecks

    source = Path(bottlenecks.__file__).read_text()
    kinds = set(re.findall(r'Bottleneck\(\s*"(\w+)"', source))
    table = page("command-line.md").split("| kind | said when |")[1].split("\n\n")[0]
    assert len(kinds) == 13
    assert set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))) == kinds
