"""A job on several devices on the command line, in documents, over REST, on pages and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from small_jobs import write_job

from dashboards.cli import run_app
from dashboards.documents.candidates import candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document, job_of
from dashboards.documents.report import JobReport
from dashboards.documents.trials import trials_document
from dashboards.web.picture import save_html, save_png
from dashboards.web.rendering import trials_on
from dashboards.words.metrics import metric_names
from search.controller.controller import Controller
from search.job.job_options import JobOptions
from search.job.target import read_target
from search.store import Store

ONE, OTHER = "dry-run-t1-b1", "dry-run-t2-b8"


@pytest.fixture
def done(store: Store, on_two: str) -> str:
    Controller(store, on_two).run()
    return on_two


class Page(HTMLParser):
    """Ids in order, and how many rows each table's body has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        self._table, self._in_body = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs).get("id")
        self.ids += [found] if found else []
        if tag == "table":
            self._table = found or ""
        elif tag == "tbody":
            self._in_body = True
        elif tag == "tr" and self._in_body:
            self.rows[self._table] = self.rows.get(self._table, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._in_body = False


class TestDocuments:
    def test_every_trial_is_seen_by_every_device(self, store: Store, done: str) -> None:
        document = trials_document(store, done)
        assert list(document["devices"]) == [ONE, OTHER]
        assert [o["metric"] for o in document["joint"]["objectives"]] == [
            "cosine", f"speedup@{ONE}", f"speedup@{OTHER}",
        ]  # fmt: skip
        for label in (ONE, OTHER):
            assert trials_on(document, label)["trials"] == [
                row | {key: document["trials"][place][key] for key in ("devices", "joint")}
                for place, row in enumerate(trials_document(store, done, label)["trials"])
            ]
            front = front_document(store, done, label)["front"]
            on_front = [row["candidate_id"] for row in document["trials"] if row["devices"][label]["on_front"]]
            assert sorted(on_front) == sorted(member["candidate_id"] for member in front)

    def test_jobs_name_their_devices(self, store: Store, done: str) -> None:
        job = job_of(JobReport.read(store, done))
        assert [one["device"] for one in job["devices"]] == [ONE, OTHER]
        assert job["front_size"] == job["devices"][0]["front_size"] > 0

    def test_a_candidate_s_figures_are_named(self, store: Store, done: str) -> None:
        best = front_document(store, done)["front"][0]["candidate_id"]
        document = candidate_document(store, best)
        assert document["devices"][ONE]["on_front"]
        named = metric_names(document["metrics"])
        assert {f"speedup@{ONE}", f"speedup@{OTHER}", "cosine", "size_bytes"} <= set(named)
        assert not {"speedup", "devices", "failures", f"cosine@{ONE}"} & set(named)
        assert metric_names({"cosine": 1.0, "speedup": {"ratio": 2.0}, "intervals": {}}) == ["cosine", "speedup"]

    def test_they_are_strict_json(self, store: Store, done: str) -> None:
        for document in (front_document(store, done), trials_document(store, done), job_document(store, done)):
            assert json.loads(json.dumps(document, allow_nan=False)) == document


class TestCommandLine:
    @pytest.fixture
    def front(self, store: Store, done: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
        def run(*arguments: str) -> str:
            assert run_app(["front", done, "--db", f"sqlite:///{tmp_path / 'paretune.db'}", *arguments]) == 0
            return capsys.readouterr().out

        return run

    def test_a_table_for_each_and_one_for_all(self, front: Callable[..., str]) -> None:
        text = front()
        places = [text.index(f"on {place} (dry run") for place in (ONE, OTHER, "all devices together")]
        assert places == sorted(places)
        assert text.count("baseline") == 3

    def test_one_alone(self, front: Callable[..., str]) -> None:
        text = front("--device", OTHER)
        assert f"on {OTHER}" in text
        assert ONE not in text
        assert text.count("baseline") == 1

    def test_rows_name_their_device(self, front: Callable[..., str]) -> None:
        both = list(csv.DictReader(io.StringIO(front("--format", "csv"))))
        alone = list(csv.DictReader(io.StringIO(front("--format", "csv", "--device", OTHER))))
        assert {row["device"] for row in both} == {ONE, OTHER}
        assert [{k: v for k, v in row.items() if k != "device"} for row in both if row["device"] == OTHER] == alone
        assert "device" not in alone[0]

    def test_json(self, front: Callable[..., str]) -> None:
        both, alone = json.loads(front("--format", "json")), json.loads(front("--format", "json", "--device", OTHER))
        assert both["fronts"][OTHER]["front"] == alone["front"]
        assert both["front"] == both["fronts"][ONE]["front"]

    def test_files(self, front: Callable[..., str], tmp_path: Path) -> None:
        front("--device", OTHER, "--html", str(tmp_path / "a.html"), "--png", str(tmp_path / "a.png"))
        text = (tmp_path / "a.html").read_text()
        assert OTHER in text
        assert "joint-table" not in text
        assert (tmp_path / "a.png").stat().st_size > 10_000

    @pytest.mark.parametrize(
        ("device", "labels"),
        [
            ("dry-run", {ONE, OTHER}),
            (OTHER, {"dry-run"}),
            ("raspberry-pi-5", {"raspberry-pi-5"}),
            ("jetson-orin-nano", {"jetson-orin-nano-t1-b1", "jetson-orin-nano-t2-b8"}),
        ],
    )
    def test_the_option_of_run(self, tmp_path: Path, device: str, labels: set[str]) -> None:
        """It picks from the file's devices, or stands for each of them."""
        devices = ["dry-run", {"name": "dry-run", "threads": 2, "batch": 8}]
        devices = ["graviton3", "raspberry-pi-5"] if device == "raspberry-pi-5" else devices
        job = read_target(str(write_job(tmp_path, devices=devices)), JobOptions(devices=[device])).job
        assert set(job.labels) == labels
        if device == OTHER:
            assert (job.devices[0].threads, job.devices[0].batch) == (2, 8)

    def test_devices_that_become_alike_are_one(self, tmp_path: Path) -> None:
        path = write_job(tmp_path, devices=["graviton3", "raspberry-pi-5"])
        job = read_target(str(path), JobOptions(devices=["jetson-orin-nano"])).job
        assert job.labels == ("jetson-orin-nano",)


def test_rest(store: Store, address: str, done: str) -> None:
    url = f"{address}/api/v1/jobs/{done}"
    assert httpx.get(f"{url}/front").json() == front_document(store, done)
    assert httpx.get(f"{url}/front", params={"device": OTHER}).json() == front_document(store, done, OTHER)
    assert httpx.get(f"{url}/trials", params={"device": OTHER}).json() == trials_document(store, done, OTHER)
    assert httpx.get(f"{url}/trials", params={"device": "dry-run"}).status_code == 404


class TestPages:
    def test_a_chart_and_its_tables_for_each_and_one_table_for_all(self, store: Store, address: str, done: str) -> None:
        page = Page(httpx.get(f"{address}/jobs/{done}").text)
        assert len(page.ids) == len(set(page.ids))
        order = ["d1-front-figure", "d1-tables", "d2-front-figure", "d2-tables", "joint"]
        assert [one for one in page.ids if one in order] == order
        fronts = front_document(store, done)
        for number, front in enumerate(fronts["fronts"].values(), 1):
            similar = sum(member["like"] is not None for member in front["front"])
            unchanged = sum(member["unchanged"] for member in front["front"])
            rows = len(front["front"]) + len(front["contenders"]) + 1 - similar - unchanged
            assert page.rows[f"d{number}-front-table"] == rows
            assert page.rows.get(f"d{number}-similar-table", 0) == similar
            assert rows + similar + page.rows.get(f"d{number}-others-table", 0) == 24
        assert page.rows["joint-table"] == len(fronts["joint"]["front"])

    def test_the_live_part_is_the_same_as_in_the_page(self, address: str, done: str) -> None:
        whole = httpx.get(f"{address}/jobs/{done}").text
        part = httpx.get(f"{address}/live/jobs/{done}").text
        for start, end in (("d1-tables", "d2-tables"), ("joint", "learning"), ("learning", None)):
            text = part[part.index(f'<div id="{start}"') : None if end is None else part.index(f'<div id="{end}"')]
            assert text.strip() in whole
        assert "front-figure" not in part

    def test_devices_are_named_in_the_list_and_on_a_candidate(self, store: Store, address: str, done: str) -> None:
        assert f"{ONE}, {OTHER}" in httpx.get(address).text
        best = front_document(store, done)["front"][0]["candidate_id"]
        text = httpx.get(f"{address}/candidates/{best}").text
        assert "paretune export" not in text
        assert f"Speed-up over fp32, {OTHER}" in text

    def test_before_the_first_candidate(self, address: str, on_two: str) -> None:
        text = httpx.get(f"{address}/jobs/{on_two}").text
        assert text.count("Nothing is on the front yet") == 2
        assert "Nothing is here yet" in text


def test_saved_files(store: Store, done: str, tmp_path: Path) -> None:
    front, trials = front_document(store, done), trials_document(store, done)
    save_html(front, trials, tmp_path / "front.html")
    page = Page((tmp_path / "front.html").read_text())
    assert {"d1-front-table", "d2-front-table", "joint-table"} <= set(page.rows)
    save_png(front, trials, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000
