"""Paretune in Python: run a search here or on a server, look at its front, export a candidate, profile a model.

>>> import paretune
>>> result = paretune.run("model.onnx", data="samples.npz", minutes=10)  # doctest: +SKIP
>>> result.export(result.best, "bundle")  # doctest: +SKIP

Importing this package loads nothing large: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwprofiles.errors import ParetuneError
    from paretune.candidates import Candidate
    from paretune.client import Client, Job, JobStatus
    from paretune.profiling import ProfileReport, profile
    from paretune.results import Result, open
    from paretune.runs import run
    from search.tasks import TorchTask

    __version__: str

__all__ = [
    "Candidate",
    "Client",
    "Job",
    "JobStatus",
    "ParetuneError",
    "ProfileReport",
    "Result",
    "TorchTask",
    "__version__",
    "open",
    "profile",
    "run",
]

_MODULES = {
    "Candidate": "paretune.candidates",
    "Client": "paretune.client",
    "Job": "paretune.client",
    "JobStatus": "paretune.client",
    "ParetuneError": "hwprofiles.errors",
    "ProfileReport": "paretune.profiling",
    "Result": "paretune.results",
    "TorchTask": "search.tasks",
    "open": "paretune.results",
    "profile": "paretune.profiling",
    "run": "paretune.runs",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return metadata.version("paretune")
    if name not in _MODULES:
        raise AttributeError(f"module 'paretune' has no attribute {name!r}")
    try:
        value = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from hwprofiles.installed import install_command

        error.add_note(f"hint: paretune.{name} needs more packages: {install_command('full')}")
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
