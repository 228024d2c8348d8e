"""The onnx task: a model file and its samples, neither vouched for."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from small_jobs import CLASSES, INPUTS, classifier, samples, spec

from hwprofiles.errors import InvalidInput
from search.controller.submission import submit
from search.job.spec import parse_job
from search.store import Store
from search.tasks import OnnxTask, Split, Task, check_files, open_task
from search.testing.tasks import BuiltInTaskConformance

SPLITS: tuple[Split, ...] = ("calibration", "validation", "test")
OPTIONS = {"model": "model.onnx", "data": "samples.npz"}
Open = Callable[..., Task]


@pytest.fixture
def open_with(tmp_path: Path) -> Open:
    """The task of the small classifier, with these arrays for its data."""
    onnx.save(classifier(1), tmp_path / "model.onnx")

    def opened(arrays: dict[str, Any] | None = None, **options: Any) -> Task:
        np.savez(tmp_path / "samples.npz", **(samples() if arrays is None else arrays))
        return open_task("onnx", OPTIONS | options, tmp_path)

    return opened


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.message, caught.value.hint


class TestConformance(BuiltInTaskConformance):
    kind = OnnxTask
    options: ClassVar[dict[str, Any]] = OPTIONS

    @pytest.fixture
    def task(self, open_with: Open) -> Task:
        return open_with()


class TestSplit:
    def test_half_a_quarter_and_a_quarter(self, open_with: Open) -> None:
        arrays = samples(80)
        task = open_with(arrays)
        rows = [task.inputs(split)["x"] for split in SPLITS]
        assert [len(part) for part in rows] == [40, 20, 20]
        assert not task.shared_split
        everything = {row.tobytes() for part in rows for row in part}
        assert everything == {row.tobytes() for row in arrays["x"]}
        assert len(everything) == 80

    def test_what_does_not_divide_goes_to_the_test(self, open_with: Open) -> None:
        task = open_with(samples(43))
        assert [len(task.inputs(split)["x"]) for split in SPLITS] == [21, 10, 12]

    def test_the_seed_decides(self, open_with: Open) -> None:
        first, again, other = open_with(), open_with(), open_with(seed=1)
        for split in SPLITS:
            assert np.array_equal(first.inputs(split)["x"], again.inputs(split)["x"])
        assert not np.array_equal(first.inputs("validation")["x"], other.inputs("validation")["x"])
        assert first.digest == again.digest != other.digest

    @pytest.mark.parametrize(("count", "shared"), [(1, True), (39, True), (40, False)])
    def test_few_samples_are_one_shared_split(self, open_with: Open, count: int, shared: bool) -> None:
        task = open_with(samples(count))
        assert task.shared_split is shared
        if shared:
            assert all(len(task.inputs(split)["x"]) == count for split in SPLITS)
            assert np.array_equal(task.inputs("test")["x"], task.inputs("validation")["x"])

    def test_labels_go_with_their_samples(self, open_with: Open) -> None:
        """Logits made from each sample's own label score perfectly in every split."""
        arrays = samples(80)
        task = open_with(arrays)
        label_of = {row.tobytes(): label for row, label in zip(arrays["x"], arrays["labels"], strict=True)}
        for split in SPLITS:
            labels = [label_of[row.tobytes()] for row in task.inputs(split)["x"]]
            scores = task.score({"logits": np.eye(CLASSES, dtype=np.float32)[labels] * 9}, split)
            assert scores["accuracy"].mean() == 1.0
            assert scores["nll"].shape == (len(labels),)

    def test_without_labels_there_is_no_accuracy(self, open_with: Open) -> None:
        assert open_with({"x": samples()["x"]}).score({"logits": np.ones((20, CLASSES))}, "validation") == {}

    def test_the_digest_names_model_data_and_labels(self, open_with: Open, tmp_path: Path) -> None:
        arrays = samples()
        digests = [open_with(arrays).digest, open_with({"x": arrays["x"]}).digest]
        digests.append(open_with(arrays | {"x": arrays["x"] + 1}).digest)
        digests.append(open_with(arrays | {"labels": arrays["labels"][::-1]}).digest)
        onnx.save(classifier(1, seed=1), tmp_path / "model.onnx")
        digests.append(open_with(arrays).digest)
        assert len(set(digests)) == 5

    def test_an_input_called_labels_is_an_input(self, tmp_path: Path) -> None:
        onnx.save(classifier(1, input_name="labels"), tmp_path / "model.onnx")
        np.savez(tmp_path / "samples.npz", labels=samples()["x"])
        task = open_task("onnx", OPTIONS, tmp_path)
        assert list(task.inputs("test")) == ["labels"]
        assert task.score({}, "test") == {}

    def test_a_model_of_one_sample_takes_a_row_a_sample(self, tmp_path: Path) -> None:
        """An input without a batch axis, and several inputs of several types."""
        builder = Builder(17)
        row = builder.input("row", [4])
        builder.input("flag", [], onnx.TensorProto.INT64)
        builder.op("Add", row, builder.op("Cast", "flag", to=onnx.TensorProto.FLOAT), out="y")
        builder.output("y", shape=[4])
        onnx.save(builder.model(), tmp_path / "model.onnx")
        np.savez(tmp_path / "samples.npz", row=np.ones((50, 4), np.float32), flag=np.arange(50))
        task = open_task("onnx", OPTIONS, tmp_path)
        assert {name: values.shape for name, values in task.inputs("validation").items()} == {
            "row": (12, 4), "flag": (12,),
        }  # fmt: skip

    def test_the_model_is_exported_as_it_is(self, open_with: Open, tmp_path: Path) -> None:
        task = open_with()
        task.export(tmp_path / "out.onnx")
        task.export(tmp_path / "untrained.onnx", trained=False)
        assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "untrained.onnx").read_bytes()
        names = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
        assert names == [node.op_type for node in classifier(1).graph.node]

    def test_types_that_lose_nothing_much_are_converted(self, open_with: Open) -> None:
        assert open_with({"x": samples()["x"].astype(np.float64)}).inputs("test")["x"].dtype == np.float32
        assert open_with({"x": np.ones((50, INPUTS), np.int32)}).inputs("test")["x"].dtype == np.float32


GOOD = samples(50)


class TestArrays:
    @pytest.mark.parametrize(
        ("arrays", "said", "mended"),
        [
            ({"X": GOOD["x"]}, "no array for the model's input 'x'", "'X'"),
            ({}, "no array for the model's input 'x'", "name the arrays"),
            ({"x": GOOD["x"][:, :5]}, "has shape 50×5, the model takes ?×16", "one sample per row"),
            ({"x": GOOD["x"][:, :, None, None]}, "has shape 50×16×1×1", "one sample per row"),
            ({"x": GOOD["x"][0]}, "has shape 16", "one sample per row"),
            ({"x": np.float32(1)}, "the model takes ?×16", "one sample per row"),
            ({"x": GOOD["x"][:0]}, "is empty", "at least one sample"),
            ({"x": np.full((50, INPUTS), np.nan, np.float32)}, "NaN or infinity", "remove"),
            ({"x": np.full((50, INPUTS), np.inf, np.float32)}, "NaN or infinity", "remove"),
            ({"x": np.full((50, INPUTS), 1e300)}, "NaN or infinity", "remove"),
            ({"x": GOOD["x"].astype(np.complex64)}, "is complex64, the model takes float32", "astype"),
            ({"x": np.full((50, INPUTS), "a")}, "is <U1, the model takes float32", "astype"),
            ({"x": GOOD["x"], "labels": GOOD["labels"][:-1]}, "x 50, labels 49", "one row per sample"),
            ({"x": GOOD["x"], "labels": GOOD["labels"].astype(float)}, "'labels'", "integers"),
            ({"x": GOOD["x"], "labels": np.eye(50, dtype=int)}, "'labels'", "integers"),
        ],
    )
    def test_arrays_that_do_not_fit_are_named(
        self, open_with: Open, arrays: dict[str, Any], said: str, mended: str
    ) -> None:
        message, hint = refused(lambda: open_with(arrays))
        assert said in message
        assert "samples.npz" in message
        assert mended in hint

    @pytest.mark.parametrize("label", [-1, CLASSES])
    def test_labels_that_the_model_does_not_know(self, open_with: Open, label: int) -> None:
        task = open_with(samples() | {"labels": np.full(80, label)})
        message, hint = refused(lambda: task.score({"logits": np.zeros((20, CLASSES), np.float32)}, "validation"))
        assert f"holds the label {label}" in message
        assert f"0 to {CLASSES - 1}" in hint

    def test_labels_for_a_model_without_classes(self, open_with: Open) -> None:
        message, _ = refused(lambda: open_with().score({"y": np.zeros((20, 3, 4))}, "validation"))
        assert "no output of the model is (samples, classes)" in message

    def test_inputs_of_different_length(self, tmp_path: Path) -> None:
        builder = Builder(17)
        builder.op("Add", builder.input("a", ["n", 2]), builder.input("b", ["n", 2]), out="y")
        builder.output("y")
        onnx.save(builder.model(), tmp_path / "model.onnx")
        np.savez(tmp_path / "samples.npz", a=np.ones((3, 2), np.float32), b=np.ones((4, 2), np.float32))
        message, _ = refused(lambda: open_task("onnx", OPTIONS, tmp_path))
        assert "a 3, b 4" in message


class Loud:
    """Says so when it is unpickled."""

    loaded = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return (_shout, ())


def _shout() -> int:
    Loud.loaded += 1
    return 0


def archive(path: Path, **entries: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


class TestFiles:
    """Whatever is in the file, it is refused in one line, or read; nothing in it is ever run."""

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        onnx.save(classifier(1), tmp_path / "model.onnx")
        return tmp_path / "samples.npz"

    def refused(self, data: Path) -> tuple[str, str]:
        return refused(lambda: open_task("onnx", OPTIONS, data.parent))

    def test_missing(self, data: Path) -> None:
        message, hint = self.refused(data)
        assert "samples.npz does not exist" in message
        assert "task.options.data" in hint

    def test_a_folder(self, data: Path) -> None:
        data.mkdir()
        assert "is a folder" in self.refused(data)[0]

    def test_what_is_neither_archive_nor_pickle(self, data: Path) -> None:
        data.write_bytes(b"not an archive")
        assert "cannot be read as an .npz archive" in self.refused(data)[0]

    def test_pickled_objects_are_never_loaded(self, data: Path) -> None:
        objects = np.empty(50, object)
        objects[:] = [Loud() for _ in range(50)]
        archive(data, x=npy(objects))
        assert "never loaded" in self.refused(data)[0]
        archive(data, x=npy(GOOD["x"]), labels=npy(objects))
        assert "never loaded" in self.refused(data)[0]
        data.write_bytes(pickle.dumps({"x": Loud()}))
        assert "never loaded" in self.refused(data)[0]
        archive(data, x=pickle.dumps(Loud()))
        self.refused(data)
        assert Loud.loaded == 0

    def test_a_single_array(self, data: Path) -> None:
        data.write_bytes(npy(GOOD["x"]))
        message, hint = self.refused(data)
        assert "single array" in message
        assert "savez" in hint

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated(self, data: Path, compressed: bool, share: float) -> None:
        (np.savez_compressed if compressed else np.savez)(data, x=GOOD["x"])
        whole = data.read_bytes()
        data.write_bytes(whole[: int(len(whole) * share)])
        assert "cannot be read as an .npz archive" in self.refused(data)[0]

    @pytest.mark.parametrize("compressed", [False, True])
    def test_damaged_anywhere(self, data: Path, compressed: bool) -> None:
        (np.savez_compressed if compressed else np.savez)(data, x=GOOD["x"])
        whole = data.read_bytes()
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(whole), 60):
            broken = bytearray(whole)
            broken[place] ^= 0xFF
            data.write_bytes(bytes(broken))
            with contextlib.suppress(InvalidInput):
                open_task("onnx", OPTIONS, data.parent)

    def test_a_header_that_promises_more_than_any_memory(self, data: Path) -> None:
        header = npy(GOOD["x"]).replace(b"(50, 16)", b"(50000000000, 16)"[:8].ljust(8))
        archive(data, x=header)
        self.refused(data)
        text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (500000000000000, 16), }"
        text = text.ljust(117) + b"\n"
        archive(data, x=b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        assert "cannot be read as an .npz archive" in self.refused(data)[0]

    def test_text(self, data: Path) -> None:
        data.write_text("x: 1\n")
        assert "samples.npz" in self.refused(data)[0]

    def test_an_entry_that_is_no_array(self, data: Path) -> None:
        with zipfile.ZipFile(data, "w") as file:
            file.writestr("x", b"not an array")
        assert "samples.npz" in self.refused(data)[0]

    @pytest.mark.parametrize("content", [b"", b"junk" * 100])
    def test_a_model_that_is_none(self, data: Path, content: bytes) -> None:
        np.savez(data, **GOOD)
        (data.parent / "model.onnx").write_bytes(content)
        assert "model.onnx" in self.refused(data)[0]

    def test_a_model_whose_weights_lie_elsewhere(self, data: Path) -> None:
        np.savez(data, **GOOD)
        model = classifier(1)
        onnx.save(model, data.parent / "model.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
        assert isinstance(open_task("onnx", OPTIONS, data.parent), OnnxTask)
        loaded = onnx.load(data.parent / "model.onnx", load_external_data=False)
        for tensor in loaded.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "../w.bin"
        (data.parent / "model.onnx").write_bytes(loaded.SerializeToString())
        assert "outside of its folder" in self.refused(data)[0]

    def test_paths_start_at_the_job_files_folder(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.savez(data, **GOOD)
        (data.parent / "below").mkdir()
        monkeypatch.chdir(data.parent / "below")
        assert isinstance(open_task("onnx", OPTIONS, data.parent), OnnxTask)
        absolute = {"model": str(data.parent / "model.onnx"), "data": str(data)}
        assert isinstance(open_task("onnx", absolute, Path("elsewhere")), OnnxTask)


class TestFilesOfAnotherKind:
    """Refused by what they are, before there is a job."""

    @pytest.mark.parametrize(
        ("start", "said"),
        [
            (b"PK\x03\x04 archive/data.pkl", "a zip archive, as torch.save"),
            (b"\x80\x02 a pickle", "a Python pickle"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
            (b'\x10\x00\x00\x00\x00\x00\x00\x00{"w": {}}', "a safetensors file"),
        ],
    )
    def test_a_model_that_is_no_onnx(self, open_with: Open, tmp_path: Path, start: bytes, said: str) -> None:
        open_with()
        (tmp_path / "model.onnx").write_bytes(start)
        message, hint = refused(lambda: check_files("onnx", OPTIONS, tmp_path))
        assert f"model.onnx is {said}" in message
        assert "torch.onnx.export" in hint

    @pytest.mark.parametrize("name", ["model.onnx", "samples.npz"])
    def test_a_file_that_is_missing(self, open_with: Open, tmp_path: Path, name: str) -> None:
        open_with()
        (tmp_path / name).unlink()
        message, _ = refused(lambda: check_files("onnx", OPTIONS, tmp_path))
        assert name in message

    def test_no_job_is_left_behind(self, open_with: Open, tmp_path: Path) -> None:
        open_with()
        job = parse_job(spec(), folder=tmp_path)
        (tmp_path / "model.onnx").write_bytes(b"PK\x03\x04")
        with Store(f"sqlite:///{tmp_path / 'jobs.db'}") as store:
            refused(lambda: submit(store, job, tmp_path))
            assert store.jobs.all() == []
