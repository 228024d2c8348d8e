"""Described devices: the catalogue, and what a user adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwprofiles import Precision, find_device
from hwprofiles.catalogue import (
    CATALOG,
    add_description,
    catalogue,
    devices_folder,
    lookup_description,
    remove_description,
    user_device_names,
)
from hwprofiles.description import LARGEST_BYTES, Description, Figure, parse_description, read_description
from hwprofiles.errors import DeviceUnavailable, InvalidInput, NotFound, StorageError
from hwprofiles.peaks import Peaks
from hwprofiles.registry import device_origins

TOASTER = """\
version = 1
name = "toaster"
title = "A toaster"
kind = "cpu"
processor = "Example 9000"
instruction_sets = ["asimd"]
cores = {value = 4, source = "[leaflet]"}
memory_bytes = {value = 1_000_000_000, source = "[leaflet]"}
bytes_per_s = {value = 4e9, source = "guessed"}

[operations_per_s]
int8 = {value = 64e9, source = "4 cores x 16 [leaflet]"}
fp32 = {value = 16e9, source = "4 cores x 4 [leaflet]"}

[documents]
leaflet = "The leaflet that came with it"
"""

BUILT_IN = frozenset({"local-cpu", "dry-run"})


@pytest.fixture
def toaster(tmp_path: Path) -> Path:
    path = tmp_path / "whatever.toml"
    path.write_text(TOASTER)
    return path


class TestCatalogue:
    @pytest.mark.parametrize("path", sorted(CATALOG.glob("*.toml")), ids=lambda path: path.stem)
    def test_each_file_is_a_description(self, path: Path) -> None:
        found = read_description(path)
        assert found.name == path.stem
        assert parse_description(found.to_toml(), "again") == found
        assert catalogue()[found.name] == found

    @pytest.mark.parametrize("name", catalogue())
    def test_every_figure_names_a_public_source(self, name: str) -> None:
        found = catalogue()[name]
        keys = {key for key, _ in found.documents}
        assert keys
        assert all("https://" in text for _, text in found.documents)
        cited = "".join(source for field, source in found.sources().items() if field not in keys)
        assert all(f"[{key}]" in cited for key in keys), "a document that nothing cites"
        for field, source in found.sources().items():
            assert field in keys or any(f"[{key}]" in source for key in keys), field

    @pytest.mark.parametrize("name", catalogue())
    def test_figures_are_of_this_world(self, name: str) -> None:
        """A slip of a thousand in a figure would not be seen in a ratio."""
        found = catalogue()[name]
        rates = {number_format: figure.value for number_format, figure in found.operations_per_s}
        assert 1e9 < found.bytes_per_s.value < 1e13
        assert 1e10 < rates["fp32"] < 1e14
        assert list(rates.values()) == sorted(rates.values()), "narrower numbers are never slower at their peak"
        assert rates["int8"] / rates["fp32"] <= 32
        assert 4e9 <= found.memory_bytes.value <= 1e12
        assert found.processor.isprintable()

    def test_what_people_have_is_there(self) -> None:
        wanted = {"raspberry-pi-5", "jetson-orin", "t4", "a10", "l4", "a100", "h100", "h200", "xeon-8480"}
        assert wanted <= set(catalogue())
        assert any(name.startswith("laptop-") for name in catalogue())

    @pytest.mark.parametrize("name", catalogue())
    def test_all_are_modelled(self, name: str) -> None:
        profile = find_device(name)
        assert profile.simulated
        assert profile.peaks is not None
        assert (profile.cores, profile.machine, profile.runtimes) == ((), None, ())


class TestProfile:
    def test_threads_do_their_share(self, toaster: Path) -> None:
        found = read_description(toaster)
        assert found.profile(4).peaks == Peaks((("fp32", 16e9), ("int8", 64e9)), 4e9)
        assert found.profile(1).peaks == Peaks((("fp32", 4e9), ("int8", 16e9)), 4e9)

    def test_a_gpu_works_as_a_whole(self) -> None:
        assert find_device("t4", threads=1).peaks == find_device("t4", threads=500).peaks

    def test_more_threads_than_cores(self, toaster: Path) -> None:
        with pytest.raises(DeviceUnavailable, match="5 threads requested, 4 cores available"):
            read_description(toaster).profile(5)

    def test_rates_of_precisions(self, toaster: Path) -> None:
        peaks = read_description(toaster).profile(4).peaks
        assert peaks is not None
        integers = {Precision.INT8, Precision.INT8_DYNAMIC}
        assert {p: peaks.rate(p) for p in Precision} == {p: 64e9 if p in integers else 16e9 for p in Precision}
        assert Peaks((("fp32", 1e9),), 1.0).rate(Precision.INT8) == 1e9

    def test_peaks_that_differ_are_another_profile(self, toaster: Path) -> None:
        found = read_description(toaster)
        faster = replace(found, bytes_per_s=Figure(5e9, "measured"))
        assert found.profile().digest != faster.profile().digest
        assert found.profile().digest == replace(found, title="Another").profile().digest


def changed(old: str, new: str) -> str:
    assert TOASTER.count(old) == 1
    return TOASTER.replace(old, new)


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message", "hint"),
        [
            (changed("version = 1", "version = 2"), "version: must be 1", "version = 1"),
            (changed("version = 1", "version = true"), "version: must be 1", "version = 1"),
            (changed("version = 1\n", ""), "version: must be 1", "version = 1"),
            (changed("cores =", "core ="), "core: unknown key 'core'", "did you mean 'cores'?"),
            (changed("\nfp32 =", "\nfp23 ="), "operations_per_s.fp23: unknown key", "did you mean 'fp32'?"),
            (changed("fp32 = {value", "fp32 = {valeu"), "operations_per_s.fp32.valeu: unknown", "did you mean 'value'"),
            (changed('title = "A toaster"\n', ""), "title: missing", "paretune docs devices"),
            (changed('"A toaster"', "3"), "title: must be one line of text, not 3", 'title = "…"'),
            (changed('"A toaster"', '"two\\nlines"'), "title: must be one line of text", 'title = "…"'),
            (changed('"A toaster"', '" "'), "title: must be one line of text", 'title = "…"'),
            (changed('"toaster"', '"../toaster"'), "name: '../toaster' is not a valid device name", "lower-case"),
            (changed('"toaster"', '"Toaster"'), "name: 'Toaster' is not a valid device name", "lower-case"),
            (changed('"cpu"', '"tpu"'), "kind: must be cpu or gpu, not 'tpu'", 'kind = "cpu"'),
            (changed('["asimd"]', '"asimd"'), "instruction_sets: must be a list of texts", "avx2"),
            (changed('["asimd"]', "[1]"), "instruction_sets: must be a list of texts", "avx2"),
            (changed("{value = 4, source", "{value = 4.5, source"), "cores.value: must be a whole number", "value = 4"),
            (changed('{value = 4, source = "[leaflet]"}', "4"), "cores: must be a table with value", "value = 4"),
            (changed(', source = "guessed"', ""), "bytes_per_s.source: missing", "add it"),
            (changed("value = 4e9", "value = -1"), "bytes_per_s.value: must be a number above 0, not -1", "value"),
            (changed("value = 4e9", "value = inf"), "bytes_per_s.value: must be a number above 0, not inf", "value"),
            (changed("value = 4e9", "value = nan"), "bytes_per_s.value: must be a number above 0, not nan", "value"),
            (changed("value = 4e9", "value = true"), "bytes_per_s.value: must be a number above 0", "value"),
            (changed("value = 4e9", 'value = "4"'), "bytes_per_s.value: must be a number above 0, not '4'", "value"),
            (changed('fp32 = {value = 16e9, source = "4 cores x 4 [leaflet]"}', ""), "s.fp32: missing", "add it"),
            (changed('"guessed"', '"[leafelt]"'), "bytes_per_s.source: no document 'leafelt'", "mean 'leaflet'"),
            (changed('"The leaflet that came with it"', "1"), "documents.leaflet: must be one line", "leaflet"),
            (changed("[operations_per_s]", "[operations_per_s"), "is not TOML", "devices probe --output"),
            ("", "version: must be 1", "version"),
            ("operations_per_s = 3\n" + TOASTER.partition("[oper")[0], "operations_per_s: must be a table", ""),
            ("documents = 3\n" + TOASTER.partition("[documents]")[0], "documents: must be a table", ""),
        ],
    )  # fmt: skip
    def test_the_field_is_named(self, text: str, message: str, hint: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            parse_description(text, "toaster.toml")
        assert caught.value.message.startswith("toaster.toml")
        assert message in caught.value.message
        assert hint in caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="does not exist"):
            read_description(tmp_path / "none.toml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_description(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_description(tmp_path / "x.toml")

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_text("#" * (LARGEST_BYTES + 1))
        with pytest.raises(InvalidInput, match="larger than"):
            read_description(tmp_path / "x.toml")


class TestAdded:
    def test_it_is_kept_and_found(self, toaster: Path) -> None:
        found, replaced = add_description(toaster, BUILT_IN)
        assert (found.name, replaced) == ("toaster", False)
        toaster.unlink()
        assert user_device_names() == ["toaster"]
        assert lookup_description("toaster") == found
        assert find_device("toaster", 2).peaks == Peaks((("fp32", 8e9), ("int8", 32e9)), 4e9)
        assert device_origins()["toaster"] == "added"
        assert [path.name for path in devices_folder().iterdir()] == ["toaster.toml"]

    def test_again_it_replaces(self, toaster: Path) -> None:
        add_description(toaster, BUILT_IN)
        before = find_device("toaster").digest
        toaster.write_text(changed("value = 4e9", "value = 5e9"))
        assert add_description(toaster, BUILT_IN)[1]
        assert find_device("toaster").digest != before

    @pytest.mark.parametrize("name", ["local-cpu", "dry-run", "raspberry-pi-5"])
    def test_what_ships_is_not_replaced(self, toaster: Path, name: str) -> None:
        toaster.write_text(changed('"toaster"', f'"{name}"'))
        with pytest.raises(InvalidInput, match="ships with Paretune") as caught:
            add_description(toaster, BUILT_IN)
        assert f"my-{name}" in caught.value.hint
        assert user_device_names() == []

    def test_a_mistake_keeps_nothing(self, toaster: Path) -> None:
        toaster.write_text(changed("version = 1", "version = 2"))
        with pytest.raises(InvalidInput):
            add_description(toaster, BUILT_IN)
        assert user_device_names() == []

    def test_a_folder_that_cannot_be_written(self, toaster: Path) -> None:
        devices_folder().parent.mkdir(parents=True, exist_ok=True)
        devices_folder().write_text("in the way")
        with pytest.raises(StorageError):
            add_description(toaster, BUILT_IN)

    def test_one_that_was_spoilt_since(self, toaster: Path) -> None:
        add_description(toaster, BUILT_IN)
        (devices_folder() / "toaster.toml").write_text("spoilt")
        with pytest.raises(InvalidInput, match="is not TOML"):
            find_device("toaster")

    def test_one_that_was_renamed_since(self, toaster: Path) -> None:
        add_description(toaster, BUILT_IN)
        (devices_folder() / "toaster.toml").rename(devices_folder() / "kettle.toml")
        with pytest.raises(InvalidInput, match="differs from the file's name"):
            find_device("kettle")

    def test_a_name_that_the_catalogue_took_later_stays_the_user_s(self, toaster: Path) -> None:
        found, _ = add_description(toaster, BUILT_IN)
        (devices_folder() / "t4.toml").write_text(changed('"toaster"', '"t4"'))
        assert lookup_description("t4") == replace(found, name="t4")
        assert device_origins()["t4"] == "added"

    def test_other_files_are_no_devices(self, toaster: Path) -> None:
        add_description(toaster, BUILT_IN)
        for name in (".hidden.toml", "Upper.toml", "notes.txt"):
            (devices_folder() / name).write_text("")
        assert user_device_names() == ["toaster"]


class TestRemoved:
    def test_it_is_gone(self, toaster: Path) -> None:
        add_description(toaster, BUILT_IN)
        remove_description("toaster", BUILT_IN)
        assert (user_device_names(), lookup_description("toaster")) == ([], None)

    @pytest.mark.parametrize("name", ["local-cpu", "dry-run", "t4"])
    def test_what_ships_stays(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="ships with Paretune and cannot be removed"):
            remove_description(name, BUILT_IN)

    def test_an_unknown_one(self) -> None:
        with pytest.raises(NotFound, match="no added device 'toaster'") as caught:
            remove_description("toaster", BUILT_IN)
        assert caught.value.hint == "added devices: none"


def test_what_is_written_can_be_read() -> None:
    figure = Figure(1.5e9, 'said "so", \\ somewhere')
    one = Description(
        "a.b-c_d", "Ünusual", "gpu", "x", (), Figure(3, "s"), Figure(10**9, "s"), figure, (("fp32", figure),)
    )
    assert parse_description(one.to_toml(), "x") == one
