"""What executes a file on this machine where a job looks at its outputs rather than its speed."""

from __future__ import annotations

from evaluators.runtimes import OnnxRuntime, Runtime, runtime_of
from hwprofiles import Profile
from hwprofiles.errors import DeviceUnavailable


def local_runtime(profile: Profile, spec: str | None = None) -> Runtime:
    """The runtime ``spec`` (``name`` or ``name:hint``, None: the profile's first).

    A remote device's files are looked at by this machine, and so are a modelled one's. Where a runtime of that device
    is not installed here, ONNX Runtime stands in: it executes the same graph, though not with the same rounding.
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
    """The name of the runtime that :func:`local_runtime` gives in the place of the one asked for; None where it gives
    that one."""
    asked, given = runtime_of(spec or profile.runtime), local_runtime(profile, spec)
    return None if (given.name, given.hint) == (asked.name, asked.hint) else given.name


def local_version(profile: Profile) -> str:
    """The version of what :func:`local_runtime` gives for a profile's first runtime."""
    return local_runtime(profile).version() if profile.agent or profile.modelled else profile.runtime_version
