"""Which runtimes are there, in which version."""

from __future__ import annotations

from importlib import metadata

import pytest

from hwprofiles import installed
from hwprofiles.errors import DeviceUnavailable


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The only packages that seem to be installed."""
    there: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "version", version)
    return there


def test_an_installed_package() -> None:
    import numpy

    assert installed.package_version("numpy") == numpy.__version__


def test_a_missing_package() -> None:
    with pytest.raises(DeviceUnavailable, match="'no-such-runtime' is not installed") as caught:
        installed.package_version("no-such-runtime")
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("package", ["onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"])
def test_onnxruntime_by_whatever_package(packages: dict[str, str], package: str) -> None:
    packages[package] = "1.31.1"
    assert installed.processor_runtimes() == (("onnxruntime", "1.31.1"),)
    assert installed.package_version("onnxruntime") == "1.31.1"


def test_onnxruntime_comes_first(packages: dict[str, str]) -> None:
    packages |= {"openvino": "2026.4.1", "onnxruntime": "1.31.1"}
    assert installed.processor_runtimes() == (("onnxruntime", "1.31.1"), ("openvino", "2026.4.1"))


def test_no_runtime(packages: dict[str, str]) -> None:
    assert installed.processor_runtimes() == ()
    with pytest.raises(DeviceUnavailable) as caught:
        installed.package_version("openvino")
    assert "paretune[openvino]" in caught.value.hint


def test_providers() -> None:
    assert "CPUExecutionProvider" in installed.onnxruntime_providers()


def test_providers_of_a_runtime_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(installed, "import_module", missing)
    assert installed.onnxruntime_providers() == ()
