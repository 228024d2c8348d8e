"""The strip of number formats: what it is made of, and where it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboards.cli import run_app
from dashboards.cli.console import out, print_formats
from dashboards.documents.candidates import candidate_document
from dashboards.documents.display import formats_of
from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from dashboards.web.picture import save_html
from dashboards.words import format_strip
from dashboards.words.format_strip import (
    blocks_of,
    count_formats,
    formats_in_words,
    formats_without_decision,
)
from hwprofiles import Precision
from search.outcome import TrialOutcome
from search.space.candidate import Decision, Space
from search.states import TrialState
from search.store import Store

HOSTILE = '<b title="x">"conv"</b>'
TRAINED = {"stem": "fp32", HOSTILE: "int4", "middle": "e4m3", "head": "int4"}
ARCHITECTURE = {"kernel:blocks.0": "3", "width:stem": "8"}
WORDS = "int4 in 2 layers, fp32 in 1, e4m3 in 1"


def space_of(*decisions: Decision) -> Space:
    return Space(decisions, "")


def of_layer(technique: str, name: str, *choices: str) -> Decision:
    return Decision(f"{technique}:{name}", choices or ("fp32", "int8"), technique, target=name, scope="layer")


class TestWhereFormatsAreFrom:
    def test_decisions(self) -> None:
        layers = (of_layer("precision", name, "fp32", "int8_weight") for name in ("stem", "head"))
        space = space_of(Decision("graph", ("plain", "fused"), "graph"), *layers)
        decisions = {"graph": "fused", "precision:stem": "fp32", "precision:head": "int8_weight", "runtime": "onnx"}
        assert formats_of(space, decisions, {"cosine": 1.0}) == {"stem": "fp32", "head": "int8_weight"}

    def test_training_counts_more(self) -> None:
        space = space_of(of_layer("precision", "stem"))
        found = formats_of(space, {"precision:stem": "int8"}, {"formats": {"head": "e2m1", "stem": "int4"}})
        assert list(found.items()) == [("head", "e2m1"), ("stem", "int4")]

    @pytest.mark.parametrize("metrics", [{}, {"formats": {}}, {"cosine": 1.0}])
    def test_none(self, metrics: dict[str, Any]) -> None:
        pruned = Decision("pruning:conv", ("1", "0.5"), "pruning", target="conv", scope="module")
        space = space_of(pruned, Decision("sparsity", ("dense", "0.9"), "sparsity"), of_layer("rank", "a", "full", "8"))
        assert formats_of(space, {"pruning:conv": "0.5", "sparsity": "0.9", "rank:a": "8"}, metrics) == {}
        assert formats_of(None, {"precision:stem": "int8"}, metrics) == {}

    def test_trained_formats_that_were_decided(self) -> None:
        layers = (of_layer("formats", name, "fp32", "e2m1") for name in ("stem", "head"))
        values = {"formats:stem": "e2m1", "formats:head": "fp32"}
        assert formats_of(space_of(*layers), values, {}) == {"stem": "e2m1", "head": "fp32"}
        assert formats_of(space_of(Decision("formats", ("fp32", "6"), "formats")), {"formats": "6"}, {}) == {}


class TestStrip:
    @pytest.mark.parametrize("precision", Precision)
    def test_bits_are_those_of_weights(self, precision: Precision) -> None:
        (one,) = blocks_of({"stem": str(precision)})
        assert (one.layer, one.format, one.bits) == ("stem", precision, precision.weight_bits)

    @pytest.mark.parametrize(
        ("name", "mark", "shade"),
        [
            ("fp32", "32", 32), ("int8", "8", 8), ("int8_dynamic", "8d", 8), ("int8_weight", "8w", 8),
            ("int4_weight", "4w", 4), ("int2", "2", 2), ("e4m3", "8f", 8), ("e3m2", "6f", 6), ("e5m7", "13f", 16),
            ("ternary", "?", None),
        ],
    )  # fmt: skip
    def test_marks_tell_formats_of_as_many_bits_apart(self, name: str, mark: str, shade: int | None) -> None:
        (one,) = blocks_of({"stem": name})
        assert (one.mark, one.shade) == (mark, shade)

    def test_shares_of_the_work(self) -> None:
        groups = [{"name": "stem", "macs": 30}, {"name": "other", "macs": 50}, {"name": "head", "macs": 20}]
        found = blocks_of({"stem": "int8", "new": "int8", "head": "fp32"}, groups)
        assert [one.macs_share for one in found] == [0.3, None, 0.2]
        unknown = blocks_of({"stem": "int8"}, [{"name": "stem", "macs": 0}])
        assert unknown[0].macs_share is None

    def test_they_are_counted(self) -> None:
        assert formats_in_words(blocks_of(TRAINED)) == WORDS
        counts = [(block.mark, count) for block, count in count_formats(blocks_of(TRAINED))]
        assert counts == [("4", 2), ("32", 1), ("8f", 1)]
        assert formats_in_words(blocks_of({"a": "int8"})) == "int8 in 1 layer"

    def test_what_decisions_say_is_not_said_again(self) -> None:
        formats = {"stem": "int8", "block:1": "int4", "head": "int4"}
        assert formats_without_decision(formats, {"stem": "int8", "block:1": "int4"}) == {"head": "int4"}


class TestTerminal:
    @pytest.fixture
    def printed(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
        def run(formats: dict[str, str], columns: int = 80) -> list[str]:
            monkeypatch.setattr(out, "_width", columns)  # whatever it was made with
            print_formats(blocks_of(formats))
            return capsys.readouterr().out.splitlines()

        return run

    def test_it_is_read_without_colours(self, printed: Callable[..., list[str]]) -> None:
        blocks, legend = printed(TRAINED)
        assert blocks.split() == ["32", "4", "8f", "4"]
        assert " ".join(legend.split()) == "bits of each layer's weights: 4 int4 × 2, 32 fp32 × 1, 8f e4m3 × 1"
        assert "\x1b" not in blocks + legend

    def test_long_nets_take_more_lines(self, printed: Callable[..., list[str]]) -> None:
        *lines, legend = printed({f"layer{number}": f"int{2 + number % 7}" for number in range(100)}, columns=30)
        assert len(lines) == 7
        assert all(len(line) <= 30 for line in lines)
        assert " ".join(lines).split() == [str(2 + number % 7) for number in range(100)]
        assert "int2 × 15" in legend


@dataclass
class Shown:
    """A job with three candidates, all on its front: trained in formats, quantised, and neither."""

    store: Store
    search: Any
    trained: str
    quantised: str
    plain: str


@pytest.fixture
def shown(store: Store, make_search: Callable[..., Any]) -> Shown:
    search = make_search()
    precision = (
        Decision(f"precision:{name}", ("fp32", "int8"), "precision", target=name, scope="layer")
        for name in ("stem", HOSTILE)
    )
    width = Decision("width", ("full", "half"), "student")
    spaces = {
        "trained": Space((width,), "1"),
        "quantised": Space((*precision, width), "1"),
        "plain": Space((width,), "2"),
    }
    of_all: dict[str, Any] = {"nodes": [], "kind": "Conv", "precisions": ["fp32", "int8"], "weights": 9, "values": 9}
    groups = [{"name": "stem", "macs": 30} | of_all, {"name": HOSTILE, "macs": 10} | of_all]
    row = store.jobs.get(search.job_id)
    assert row.baseline is not None
    store.jobs.set_preparation(
        search.lease, space=spaces["quantised"].to_dict(), baseline={**row.baseline, "facts": {"groups": groups}}
    )
    figures = {"cosine": 0.99, "speedup": {"ratio": 2.0, "ci95": [1.9, 2.1]}}
    of_training = {
        "formats": TRAINED, "bit_operations": 2e6, "simulated_formats": True, "architecture": ARCHITECTURE,
    }  # fmt: skip
    for number, (name, space) in enumerate(spaces.items()):
        chosen = space.baseline().decisions | ({"precision:stem": "int8"} if name == "quantised" else {})
        (trial,) = store.trials.add(search.lease, 0, "nsga2", False, [(number, space.candidate(chosen))])
        metrics = figures | (of_training if name == "trained" else {})
        store.trials.finish(
            search.lease, trial.candidate_id, TrialOutcome(TrialState.DONE, metrics=metrics, wall_s=0.5)
        )
        search.ids.append(trial.candidate_id)
    search.store_front([0, 1, 2])
    return Shown(store, search, *search.ids)


class TestJson:
    def test_members_say_their_formats(self, shown: Shown) -> None:
        trained, quantised, plain = front_document(shown.store, shown.search.job_id)["front"]
        assert trained["formats"] == TRAINED
        assert quantised["formats"] == {"stem": "int8", HOSTILE: "fp32"}
        assert "formats" not in plain
        assert [one["simulated"] for one in (trained, quantised, plain)] == [True, False, False]
        assert [one["summary"] for one in (trained, quantised, plain)] == [WORDS, "1 of 2 layers int8", "unchanged"]

    def test_so_does_a_candidate(self, shown: Shown) -> None:
        document = candidate_document(shown.store, shown.trained)
        assert list(document["formats"].items()) == list(TRAINED.items())
        assert document["simulated"]
        assert "formats" not in candidate_document(shown.store, shown.plain)

    def test_trials_say_what_is_simulated(self, shown: Shown) -> None:
        rows = trials_document(shown.store, shown.search.job_id)["trials"]
        assert [row["simulated"] for row in rows] == [True, False, False]


class TestCommandLine:
    @pytest.fixture
    def show(self, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., str]:
        monkeypatch.setenv("COLUMNS", "120")

        def run(*arguments: str) -> str:
            assert run_app([*arguments, "--db", f"sqlite:///{tmp_path / 'paretune.db'}"]) == 0
            return str(capsys.readouterr().out)

        return run

    def test_show_has_a_strip(self, shown: Shown, show: Callable[..., str]) -> None:
        assert "32  4 8f  4" in show("show", shown.trained)
        assert "bits of each layer's weights" not in show("show", shown.plain)

    def test_each_layer_is_listed_once(self, shown: Shown, show: Callable[..., str]) -> None:
        assert show("show", shown.quantised).count(HOSTILE) == 1
        trained = show("show", shown.trained)
        assert (trained.count(HOSTILE), trained.count("middle")) == (1, 1)

    def test_a_sub_network_is_listed_too(self, shown: Shown, show: Callable[..., str]) -> None:
        assert ["kernel:blocks.0", "3"] in [line.split() for line in show("show", shown.trained).splitlines()]
        assert "kernel" not in show("show", shown.quantised)

    def test_a_front_says_what_is_simulated(self, shown: Shown, show: Callable[..., str]) -> None:
        text = " ".join(show("front", shown.search.job_id).split())
        assert "made up" in text
        assert "simulated" not in text

    def test_show_as_json(self, shown: Shown, show: Callable[..., str]) -> None:
        assert json.loads(show("show", shown.trained, "--format", "json"))["formats"] == TRAINED


class TestPages:
    def test_a_candidate(self, shown: Shown, address: str) -> None:
        text = httpx.get(f"{address}/candidates/{shown.trained}").text
        assert f'<div class="strip" role="img" aria-label="{WORDS}">' in text
        assert "&lt;b title=&#34;x&#34;&gt;&#34;conv&#34;&lt;/b&gt;: int4, 25.0 % of the fp32 model" in text
        assert "<b " not in text
        assert 'style="' not in text
        assert '<span class="bits-8" title="middle: e4m3">8f</span>' in text
        assert "they are simulated" in text
        assert "<dt>kernel:blocks.0</dt><dd>3</dd>" in text
        assert "they are simulated" not in httpx.get(f"{address}/candidates/{shown.quantised}").text
        assert "strip" not in httpx.get(f"{address}/candidates/{shown.plain}").text
        assert "Architecture" not in httpx.get(f"{address}/candidates/{shown.plain}").text

    def test_the_rows_of_a_front(self, shown: Shown, address: str) -> None:
        text = httpx.get(f"{address}/live/jobs/{shown.search.job_id}").text
        assert text.count('<div class="strip small" role="img"') == 2
        assert f'aria-label="{WORDS}"' in text
        assert 'aria-label="int8 in 1 layer, fp32 in 1"' in text
        assert "<b " not in text

    def test_only_simulated_members_of_a_measured_front_are_marked(self, shown: Shown, tmp_path: Path) -> None:
        trials = trials_document(shown.store, shown.search.job_id)
        front = front_document(shown.store, shown.search.job_id)
        for simulated, count in ((False, 1), (True, 0)):
            save_html(front | {"simulated": simulated}, trials, tmp_path / "front.html")
            assert (tmp_path / "front.html").read_text().count(
                "No runtime computes in all of its number formats"
            ) == count

    def test_every_shade_has_a_colour(self) -> None:
        style = (Path(format_strip.__file__).parents[1] / "web" / "static" / "style.css").read_text()
        shades = {one.shade for one in (replace(blocks_of({"a": "fp32"})[0], bits=bits) for bits in range(2, 33))}
        for shade in shades:
            assert style.count(f"--bits-{shade}:") == 2
            assert f".strip .bits-{shade} {{" in style
