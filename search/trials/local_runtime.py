"""The runtime that computes a file's outputs on this machine, for quality rather than speed."""

from __future__ import annotations

from evaluators.runtimes import OnnxRuntime, Runtime, runtime_of
from hwprofiles import Profile
from hwprofiles.errors import DeviceUnavailable


def local_runtime(profile: Profile, spec: str | None = None) -> Runtime:
    """Returns the runtime ``spec`` (``name`` or ``name:hint``, None: the profile's first).

    Files of remote and modelled devices are evaluated on this machine too. If the device's runtime is not installed
    here, ONNX Runtime replaces it: it executes the same graph, with other rounding.
    """
    if profile.modelled:
        return OnnxRuntime()
    wanted = runtime_of(spec or profile.runtime)
    if not profile.agent:
        return wanted
    try:
        wanted.version()
    except DeviceUnavailable:
        return OnnxRuntime()
    return wanted


def stand_in(profile: Profile, spec: str | None = None) -> str | None:
    """Returns the name of the runtime that replaces ``spec`` in :func:`local_runtime`; None if none does."""
    wanted, actual = runtime_of(spec or profile.runtime), local_runtime(profile, spec)
    return None if (actual.name, actual.hint) == (wanted.name, wanted.hint) else actual.name


def local_version(profile: Profile) -> str:
    """Returns the version of the runtime that :func:`local_runtime` returns for a profile's first runtime."""
    return local_runtime(profile).version() if profile.agent or profile.modelled else profile.runtime_version
