"""The command ``paretune agent``; imports nothing that only a search needs."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from hwprofiles.errors import DeviceUnavailable, InvalidInput, ParetuneError
from hwprofiles.folders import cache_folder
from hwprofiles.logs import log_to_stderr

_MAX_TOKEN_BYTES = 1000


def parser() -> argparse.ArgumentParser:
    """Returns the options of ``paretune agent``."""
    options = argparse.ArgumentParser(
        prog="paretune agent",
        description="Measure models on this machine for a server. Dials out only; executes no code that it is sent.",
    )
    options.add_argument("--server", required=True, metavar="URL", help="Address of paretune serve.")
    options.add_argument("--token-file", required=True, type=Path, metavar="FILE", help="File with the device's token.")
    options.add_argument("--device", required=True, metavar="NAME", help="The server's name for this device.")
    options.add_argument(
        "--local",
        default="local-cpu",
        metavar="DEVICE",
        help="The device that measures; default: local-cpu.",
    )
    options.add_argument(
        "--runtime", action="append", default=[], metavar="NAME",
        help="A runtime that may execute models; repeat for several; default: all.",
    )  # fmt: skip
    options.add_argument("--cache", type=Path, metavar="DIR", help="Folder for models; default: in your cache folder.")
    options.add_argument(
        "--cache-bytes",
        type=_bytes,
        default=DEFAULT_CACHE_BYTES,
        metavar="N",
        help="Largest size of the folder.",
    )
    options.add_argument(
        "--max-model-bytes",
        type=_bytes,
        default=DEFAULT_MAX_MODEL_BYTES,
        metavar="N",
        help="Size of the largest model.",
    )
    options.add_argument("--debug", action="store_true", help="Show a traceback when something fails.")
    return options


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of bytes")
    return int(text)


def run_agent(arguments: Sequence[str]) -> int:
    """Runs an agent until it ends; returns the exit code. Logs to stderr."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as ended:  # --help, or an error that argparse has printed
        return int(ended.code or 0)
    log_to_stderr()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _serve(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ParetuneError as error:
        if options.debug:
            traceback.print_exc()
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return error.exit_code


def _serve(options: argparse.Namespace) -> int:
    # Imported here: --help needs no runtime, no NumPy and no HTTP client.
    from evaluators.agent.agent import Agent, AgentSettings
    from evaluators.agent.client import Dismissed

    settings = AgentSettings(
        server=options.server,
        token=read_token(options.token_file),
        device=options.device,
        local=options.local,
        runtimes=tuple(options.runtime),
        cache=options.cache or cache_folder() / "agent" / options.device,
        cache_bytes=options.cache_bytes,
        max_model_bytes=options.max_model_bytes,
    )
    try:
        Agent(settings).run()
    except Dismissed as error:
        raise DeviceUnavailable(error.message, error.hint) from None


def read_token(file: Path) -> str:
    """Reads the token from a file. Raises :class:`InvalidInput` for an unreadable file or an invalid token."""
    try:
        with file.open("rb") as stream:
            token = stream.read(_MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise InvalidInput(
            f"--token-file: {file} cannot be read: {reason}",
            "create a token on the server with: paretune devices token NAME",
        ) from None
    if not token or len(token) > _MAX_TOKEN_BYTES or not token.isprintable() or " " in token:
        raise InvalidInput(
            f"--token-file: {file} holds no token", "create one on the server with: paretune devices token NAME"
        )
    return token


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
