"""Suites for what runs on a GPU alone, on machines with and without one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from evaluators.runtimes import runtime_of
from hwprofiles.errors import DeviceUnavailable

Suite = TypeVar("Suite", bound=type)


def on_a_gpu(spec: str, *, but: tuple[str, ...] = ()) -> Callable[[Suite], Suite]:
    """Runs a suite's tests where the runtime can be had. Elsewhere every one of them, ``but`` those that need no
    device, must fail with an error that says what is missing and how to mend it."""

    def decorated(suite: Suite) -> Suite:
        for name in dir(suite):
            if name.startswith("test_") and name not in but:
                setattr(suite, name, _checked(spec, getattr(suite, name)))
        return suite

    return decorated


def missing(spec: str) -> DeviceUnavailable | None:
    """Why a runtime cannot be had here."""
    try:
        runtime_of(spec).open(_Nothing())  # type: ignore[arg-type]
    except DeviceUnavailable as error:
        return error
    except _Touched:
        return None
    raise AssertionError(f"{spec} opened nothing")


class _Touched(Exception):
    """The file was looked at, so the device was there."""


class _Nothing:
    """No file: whoever looks at it has found the device."""

    def __getattr__(self, name: str) -> Any:
        raise _Touched(name)

    def __str__(self) -> str:
        raise _Touched


def _checked(spec: str, test: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(test)
    def checked(*args: Any, **kwargs: Any) -> None:
        if missing(spec) is None:
            test(*args, **kwargs)
            return
        with pytest.raises(DeviceUnavailable) as met:
            test(*args, **kwargs)
        assert met.value.hint
        assert "\n" not in met.value.message + met.value.hint

    return checked
