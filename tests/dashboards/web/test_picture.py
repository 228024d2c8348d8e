from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from dashboards.web import picture
from dashboards.web.picture import save_html, save_png
from hwprofiles.errors import StorageError
from search.store import Store

HOSTILE = "$x_<script>alert(1)</script>\u2028 \n网 --><!--"


def test_a_picture_is_written(store: Store, search: Any, tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    save_png(front_document(store, search.job_id), trials_document(store, search.job_id), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1600, 1000)
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".part"] == []


def test_far_off_points_do_not_squeeze_the_front(store: Store, search: Any, tmp_path: Path) -> None:
    trials = trials_document(store, search.job_id)
    far = trials["trials"][1] | {"values": {"cosine": 0.01, "speedup": 30.0}}
    trials["trials"].append(far)
    save_png(front_document(store, search.job_id), trials, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_a_picture_of_nothing_of_one_objective_and_of_hostile_names(
    store: Store, make_search: Callable[..., Any], tmp_path: Path
) -> None:
    search = make_search(HOSTILE)
    front, trials = front_document(store, search.job_id), trials_document(store, search.job_id)
    save_png(front, trials, tmp_path / "empty.png")
    search.add(4)
    front, trials = front_document(store, search.job_id), trials_document(store, search.job_id)
    trials["objectives"] = [{"metric": "$cosine^{", "direction": "max"}]
    for row in [trials["baseline"], *trials["trials"]]:
        row["values"] = {"$cosine^{": row["values"]["cosine"]}
    save_png(front, trials, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


def test_a_page_carries_its_data_as_json(store: Store, make_search: Callable[..., Any], tmp_path: Path) -> None:
    search = make_search(HOSTILE)
    search.add(5)
    search.fail(HOSTILE)
    search.store_front([0, 4])
    path = tmp_path / "front.html"
    trials = trials_document(store, search.job_id)
    save_html(front_document(store, search.job_id), trials, path)
    text = path.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="trials">(.*?)</script>', text)
    assert data is not None
    assert json.loads(data[1]) == trials
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'<[^>]* (src|href)="(?!#)', markup)
    assert text.count("<script>") == text.count("&#39;sha256-") - 1


def test_a_page_without_the_chart_library_has_the_tables(
    store: Store, search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "has_chart_library", lambda: False)
    path = tmp_path / "front.html"
    save_html(front_document(store, search.job_id), trials_document(store, search.job_id), path)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert 'id="front-table"' in text


@pytest.mark.parametrize("save", [save_html, save_png])
def test_a_folder_that_is_not_there_is_a_storage_error(
    store: Store, search: Any, tmp_path: Path, save: Callable[..., None]
) -> None:
    path = tmp_path / "missing" / "front"
    with pytest.raises(StorageError) as caught:
        save(front_document(store, search.job_id), trials_document(store, search.job_id), path)
    assert str(path) in caught.value.message


def test_a_file_is_replaced_whole(store: Store, search: Any, tmp_path: Path) -> None:
    path = tmp_path / "front.html"
    path.write_text("old" * 10_000_000, encoding="utf-8")
    save_html(front_document(store, search.job_id), trials_document(store, search.job_id), path)
    assert path.read_text(encoding="utf-8").endswith("</html>")
