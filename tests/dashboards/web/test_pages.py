from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dashboards import figures
from dashboards.web import headers, rendering, views
from hwprofiles.errors import ParetuneError
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store

HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The elements of a page: ``(tag, attributes)``, and the text of its table rows by the table's id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self._table = ""
        self._in_body = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "table":
            self._table = attributes.get("id") or "jobs"
        elif tag == "tbody":
            self._in_body = True
        elif tag == "tr" and self._in_body:
            self.rows.setdefault(self._table, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._in_body = False

    def handle_data(self, data: str) -> None:
        if self._in_body and self._table in self.rows:
            self.rows[self._table][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def get(url: str) -> Page:
    answer = httpx.get(url)
    assert answer.status_code == 200
    return Page(answer.text)


def test_jobs_are_listed_with_links(address: str, make_search: Callable[..., Any]) -> None:
    searches = [make_search("first"), make_search("second")]
    searches[1].add(3)
    searches[1].store_front([0, 2])
    rows = get(address).rows["jobs"]
    assert [("second" in rows[0], "first" in rows[1])] == [(True, True)]
    assert "running" in rows[0]
    assert "3 of 60" in " ".join(rows[0].split())
    links = [a["href"] for a in get(address).of("a")]
    assert f"/jobs/{searches[1].job_id}" in links


def test_a_queued_job_says_why_it_waits(address: str) -> None:
    submission = {"target": "digits", "options": {"devices": ["dry-run"], "trials": 2}}
    job_id = httpx.post(f"{address}/api/v1/jobs", json=submission).json()["job_id"]
    assert (
        "It is queued: no worker runs; start one with: paretune worker." in httpx.get(f"{address}/jobs/{job_id}").text
    )
    assert 'title="no worker runs; start one with: paretune worker"' in httpx.get(address).text
    with httpx.stream("GET", f"{address}/api/v1/jobs/{job_id}/events") as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["waiting"].startswith("no worker runs")


def test_an_empty_store_tells_what_to_run(address: str, tmp_path: Path) -> None:
    text = httpx.get(address).text
    assert "paretune run first.yaml" in text
    job_file = re.search(r"<pre[^>]*><code>(version: 1.*?)</code>", text, re.DOTALL)
    assert job_file is not None
    try:
        job = parse_job(yaml.safe_load(job_file[1]), folder=tmp_path)
    except ParetuneError as error:
        pytest.fail(f"{error.message}: {error.hint}")
    assert job.name == "first"


def test_a_job_shows_its_points_as_tables(address: str, search: Any) -> None:
    page = get(f"{address}/jobs/{search.job_id}")
    assert len(page.rows["front-table"]) == 4  # the baseline, which is a member too, two more members, one contender
    assert len(page.rows["others-table"]) == 8
    assert len(page.rows["failed-table"]) == 1
    assert "fp32 baseline" in page.rows["front-table"][0]
    assert "contender" in page.rows["front-table"][3]
    assert "1 of 7 layers int8" in page.rows["front-table"][2]
    assert "paretune export" not in page.rows["front-table"][2]
    assert "unsupported op" in page.rows["failed-table"][0]
    assert all(th.get("scope") in ("col", "row") for th in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table"))


def test_a_learning_curve_is_shown_where_there_is_one(address: str, search: Any) -> None:
    without = httpx.get(f"{address}/jobs/{search.job_id}").text
    assert "learning-table" not in without
    assert '/learning">' not in without
    search.learn()
    search.add(1)  # from here on, as after a block
    page = get(f"{address}/jobs/{search.job_id}")
    assert len(page.rows["learning-table"]) == 8
    assert page.rows["learning-table"][0].startswith("removal1")
    assert len(page.of("caption")) == len(page.of("table"))
    assert "learning-table" in httpx.get(f"{address}/live/jobs/{search.job_id}").text


def test_the_live_part_is_the_same_as_in_the_page(address: str, search: Any) -> None:
    whole = httpx.get(f"{address}/jobs/{search.job_id}").text
    part = httpx.get(f"{address}/live/jobs/{search.job_id}").text
    tables, learning = part[part.index('<div id="tables">') :].split('<div id="learning"')
    assert tables in whole
    assert learning in whole
    listed = httpx.get(f"{address}/live/jobs").text
    assert listed in httpx.get(address).text


@pytest.mark.parametrize(
    "path", ["/", "/jobs/{job}", "/candidates/{candidate}", "/jobs/ffff", "/nowhere", "/static/chart.js"]
)
def test_every_answer_carries_the_policy(address: str, search: Any, path: str) -> None:
    answer = httpx.get(address + path.format(job=search.job_id, candidate=search.ids[0]))
    policy = answer.headers["content-security-policy"]
    assert policy == headers.POLICY
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"].startswith("text/html"):
        page = Page(answer.text)
        assert not page.of("style")
        assert all(script.get("src", "").startswith("/static/") for script in page.of("script"))  # type: ignore[union-attr]
        assert not any(name.startswith("on") or name == "style" for _, attrs in page.elements for name in attrs)


def test_hostile_names_are_text(store: Store, address: str, make_search: Callable[..., Any]) -> None:
    search = make_search(f"job {HOSTILE}")
    search.add(5)
    search.fail()
    search.store_front([0, 2])
    store.jobs.set_state(search.lease, JobState.FAILED, error=HOSTILE, hint=HOSTILE)
    for path in ("/", f"/jobs/{search.job_id}", f"/live/jobs/{search.job_id}", f"/candidates/{search.ids[2]}"):
        text = httpx.get(address + path).text
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>" not in httpx.get(f"{address}/jobs/%3Cscript%3E").text


def test_a_candidate_has_a_page(address: str, search: Any) -> None:
    page = get(f"{address}/candidates/{search.ids[4][:8]}")
    rows = [" ".join(row.split()) for row in page.rows["metrics-table"]]
    assert any(row.startswith("Latency") and "7.10 ms" in row for row in rows)
    assert any(row.startswith("Speed-up over fp32") and row.endswith("1.00×") for row in rows)
    failed = httpx.get(f"{address}/candidates/{search.ids[12]}").text
    assert "is not supported" in failed
    assert "paretune export" not in failed


def test_an_unknown_job_is_a_page_with_a_hint(address: str) -> None:
    answer = httpx.get(f"{address}/jobs/ffff")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "there is no job &#39;ffff&#39;" in answer.text
    assert "paretune jobs" in answer.text


def test_without_the_chart_library_the_page_says_how_to_fetch_it(
    address: str, search: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "has_chart_library", lambda: False)
    text = httpx.get(f"{address}/jobs/{search.job_id}").text
    assert "make setup" in text
    assert "echarts" not in text
    assert len(Page(text).rows["front-table"]) == 4


def test_a_job_without_a_front_says_so(address: str, make_search: Callable[..., Any], store: Store) -> None:
    search = make_search()
    assert "Nothing is on the front yet" in httpx.get(f"{address}/jobs/{search.job_id}").text
    search.add(2)
    search.store_front([])
    front = store.fronts.get(search.job_id)
    assert front is not None
    store.fronts.add(search.lease, front | {"nearest_miss": {"candidate_id": search.ids[1], "reason": "too slow"}})
    text = httpx.get(f"{address}/jobs/{search.job_id}").text
    assert "No candidate meets every constraint" in text
    assert "too slow" in text


def test_static_files_are_ours_alone(address: str) -> None:
    for name in ("style.css", "chart.js", "live.js", "job.js", "jobs.js", "saved.js", "icon.svg"):
        answer = httpx.get(f"{address}/static/{name}")
        assert answer.status_code == 200
        assert not re.search(r"https?://(?!www\.w3\.org)", answer.text)
    assert httpx.get(f"{address}/static/../rendering.py").status_code == 404
    assert rendering.ECHARTS.parent.parent == views.STATIC


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (None, "cosine", "–"),
        (0.99812, "cosine", "0.998120"),
        (12.5, "latency_ms", "12.5 ms"),
        (0.42, "latency_ms.p90", "0.42 ms"),
        (999.6, "size_bytes", "1.00 kB"),
        (3.4, "speedup@local-cpu", "3.40×"),
        (1234.5678, "perplexity", "1,234.57"),
    ],
)
def test_figures_have_units(value: float | None, metric: str, text: str) -> None:
    assert figures.figure(value, metric) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3600, "1 h 00 min")]
)
def test_durations_are_words(seconds: float | None, text: str) -> None:
    assert figures.duration(seconds) == text
