"""What devices can do and what layers take, as documents, pages and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from capability_record import WIDTHS, capability_of

from dashboards.cli import run_app
from dashboards.documents.capability import capability_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.documents.layers import layers_document
from evaluators.probing.layer_table import LayerTable, Unit, UnitTime
from hwprofiles import Precision, find_device
from hwprofiles.errors import NotFound
from search.store import Store

PROFILE = find_device("dry-run")
PREDICTION = {
    "dry-run": {
        "layers": 1,
        "plain": {"n": 12, "tau": 0.81, "relative_error": {"median": 0.04, "p90": 0.08}},
        "corrected": {"n": 12, "tau": 0.93, "relative_error": {"median": 0.021, "p90": 0.05}},
        "correction": {"gained": 0.1, "entering": 0.0, "leaving": 0.2},
    }
}


def layer_tables() -> dict[str, Any]:
    times = {
        "fp32": UnitTime(Precision.FP32, 2.0, 0.4, 1.0, None),
        "int8": UnitTime(Precision.INT8, 0.5, 0.1, 4.0, (3.9, 4.1)),
        "int4_weight": UnitTime(Precision.INT4_WEIGHT, None, None, None, None, "crashed: died <b>"),
    }
    unit = Unit("stem", ("/stem/<script>",), "Conv", times, {"float": 0.0, "integer": 0.0})
    return {"dry-run": [{"values": {"graph": "plain"}, "table": LayerTable((unit,), (), 2.0, 0.1, 0.2).to_dict()}]}


@pytest.fixture
def probed(store: Store) -> Store:
    store.devices.set_capability(PROFILE, capability_of(PROFILE).to_dict())
    return store


@pytest.fixture
def predicted(store: Store, search: Any) -> Any:
    """A job with layer tables and an assessment."""
    row = store.jobs.get(search.job_id)
    assert row.baseline is not None
    assert row.space is not None
    facts = {**row.baseline["facts"], "layer_tables": layer_tables()}
    store.jobs.set_preparation(search.lease, space=row.space, baseline={**row.baseline, "facts": facts})
    store.jobs.set_prediction(search.lease, PREDICTION)
    return search


def test_the_document_sums_each_sweep_up(probed: Store) -> None:
    document = capability_document(probed, "dry-run")
    fp32, int8, int4 = document["sweeps"]
    assert (fp32["step"], fp32["best_ratio"], fp32["pays_from"]) == (16, None, None)
    assert (int8["step"], int8["best_ratio"], int8["pays_from"]) == (None, 4.0, 32)
    assert (int4["saved_between_steps"], int4["pays_from"], int4["runs"]) == (None, None, True)
    assert int4["points"][-1] == {
        "width": 64, "ratio": None, "ci95": None, "yardsticks": None, "reason": "crashed: died <b>",
    }  # fmt: skip
    assert document["profile_digest"] == PROFILE.digest
    json.dumps(document, allow_nan=False)


def test_the_newest_answers_of_a_device_count(store: Store) -> None:
    wider = find_device("dry-run", threads=2)
    for profile in (PROFILE, wider):
        store.devices.set_capability(profile, capability_of(profile).to_dict())
    assert capability_document(store, "dry-run")["threads"] == 2
    store.devices.set_capability(PROFILE, capability_of(PROFILE, complete=False).to_dict())
    assert capability_document(store, "dry-run")["threads"] == 1
    assert len(store.devices.capabilities()) == 2


def test_answers_of_another_version_are_none(store: Store, address: str) -> None:
    store.devices.set_capability(PROFILE, capability_of(PROFILE).to_dict() | {"version": 0})
    with pytest.raises(NotFound, match="'dry-run' was not probed yet"):
        capability_document(store, "dry-run")
    answer = httpx.get(f"{address}/api/v1/devices/dry-run/capability")
    assert answer.status_code == 404
    assert "paretune devices capability dry-run" in answer.json()["hint"]
    assert "Speed-up by channels" not in httpx.get(f"{address}/devices/dry-run").text


def test_rest_and_page_show_the_same(probed: Store, address: str) -> None:
    document = httpx.get(f"{address}/api/v1/devices/dry-run/capability").json()
    assert document == capability_document(probed, "dry-run")
    text = httpx.get(f"{address}/devices/dry-run").text
    assert "<b>" not in text
    assert "crashed: died &lt;b&gt;" in text
    for figure in ("0.50", "1.00", "2.00", "4.00", "0.90"):
        assert f">{figure}</td>" in text
    assert all(f'class="number">{width}</th>' in text for width in WIDTHS)
    assert "QLinearConv" in text
    assert "Some probes were disturbed" not in text
    assert 'data-heat="' in text


def test_a_job_leads_to_its_device(store: Store, search: Any, address: str) -> None:
    assert "/devices/dry-run" not in httpx.get(f"{address}/jobs/{search.job_id}").text
    store.devices.set_capability(PROFILE, capability_of(PROFILE).to_dict())
    assert '<a href="/devices/dry-run">dry-run</a>' in httpx.get(f"{address}/jobs/{search.job_id}").text


def test_a_page_says_what_is_missing(store: Store, address: str) -> None:
    store.devices.set_capability(PROFILE, capability_of(PROFILE, complete=False).to_dict())
    assert "paretune devices capability dry-run" in httpx.get(f"{address}/devices/dry-run").text


def command(*arguments: str, store: Path) -> int:
    return run_app(["devices", "capability", *arguments, "--db", f"sqlite:///{store}"])


def test_the_command_prints_what_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, profile = tmp_path / "jobs.db", find_device("local-cpu")
    with Store(f"sqlite:///{path}") as store:
        store.devices.set_capability(profile, capability_of(profile).to_dict())
        expected = capability_document(store, "local-cpu")
    assert command("local-cpu", "--format", "json", store=path) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert command("local-cpu", store=path) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "from 32 channels" in words
    assert "never" in words


def test_a_modelled_device_s_page_does_not_say_to_probe_it(store: Store, address: str) -> None:
    text = httpx.get(f"{address}/devices/raspberry-pi-5").text
    assert "A device model" in text
    assert "devices capability" not in text


def test_a_modelled_device_cannot_be_probed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("dry-run", store=tmp_path / "jobs.db") == 5
    assert "nothing to probe" in capsys.readouterr().err


def test_status_and_front_say_how_well_is_predicted(store: Store, predicted: Any) -> None:
    assert job_document(store, predicted.job_id)["prediction"] == PREDICTION
    front = front_document(store, predicted.job_id)
    assert front["prediction"] == PREDICTION
    assert "layer_tables" not in front["baseline"]["facts"]


def test_layers_have_a_document(store: Store, predicted: Any, address: str) -> None:
    document = layers_document(store, predicted.job_id)
    (table,) = document["devices"]["dry-run"]
    assert (table["values"], table["whole_ms"]) == ({"graph": "plain"}, pytest.approx(0.4))
    assert table["layers"][0]["times"]["int8"]["ms"] == 0.1
    assert table["layers"][0]["times"]["int4_weight"]["reason"] == "crashed: died <b>"
    assert httpx.get(f"{address}/api/v1/jobs/{predicted.job_id}/layers").json() == document


def test_a_job_that_is_not_prepared_has_no_layers(store: Store, make_search: Callable[..., Any]) -> None:
    assert layers_document(store, make_search("plain").job_id)["devices"] == {}


def test_the_job_s_page_shows_layers_and_prediction(predicted: Any, address: str) -> None:
    text = httpx.get(f"{address}/jobs/{predicted.job_id}").text
    words = " ".join(text.split())
    assert "predicted from layer timings: median error 2.1 % (12 candidates), rank correlation 0.93" in words
    assert "/stem/&lt;script&gt;" in text
    assert "0.10 ms" in text
    assert "4.00×" in text
