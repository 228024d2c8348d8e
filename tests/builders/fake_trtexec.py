"""A tool that takes trtexec's options and writes what trtexec writes, from its published sources.

``FAKE_TRTEXEC`` in the environment says what it should do wrong: ``unknown-op``, ``memory``, ``silent`` or ``crash``.
Every command line is appended to ``FAKE_TRTEXEC_LOG``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

BANNER = "&&&& RUNNING TensorRT.trtexec [TensorRT v{}] [b26] # trtexec {}"

# Of an operator that the parser does not know, and of a full GPU.
WRONG = {
    "unknown-op": (
        "[11/22/2026-08:00:00] [E] [TRT] ModelImporter.cpp:948: While parsing node number 0 [Strange -> \"y\"]:\n"
        "[11/22/2026-08:00:00] [E] [TRT] In node 0 with name: /block/y/Strange and operator: Strange "
        "(checkFallbackPluginImporter): INVALID_NODE: creator && \"Plugin not found, are the plugin name, version, and "
        "namespace correct?\"\n"
        "[11/22/2026-08:00:00] [E] Failed to parse onnx file\n"
        "&&&& FAILED TensorRT.trtexec [TensorRT v{}] [b26] # trtexec"
    ),
    "memory": (
        "[11/22/2026-08:00:00] [E] Error[2]: [virtualMemoryBuffer.cpp::resizePhysical::154] Error Code 2: OutOfMemory\n"
    ),
    "crash": "",
}  # fmt: skip


def main(arguments: list[str]) -> int:
    options = dict(one.removeprefix("--").partition("=")[::2] for one in arguments)
    version = os.environ.get("FAKE_TRTEXEC_VERSION", "101601")
    wrong = os.environ.get("FAKE_TRTEXEC", "")
    print(BANNER.format(version, " ".join(arguments)) if wrong != "nameless" else "hello")
    if "help" in options:
        return 0
    with Path(os.environ["FAKE_TRTEXEC_LOG"]).open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    if wrong in WRONG:
        print(WRONG[wrong].replace("{}", version), file=sys.stderr)
        return 1
    if wrong == "silent":
        return 0
    if "onnx" in options:
        Path(options["saveEngine"]).write_bytes(b"plan of " + Path(options["onnx"]).read_bytes())
        cache = Path(options["timingCacheFile"])
        cache.write_bytes((cache.read_bytes() if cache.exists() else b"") + b"times,")
    else:
        assert Path(options["loadEngine"]).read_bytes().startswith(b"plan of ")
    if "exportTimes" in options:
        Path(options["exportTimes"]).write_text(times(int(options["iterations"])))
    if "exportProfile" in options:
        Path(options["exportProfile"]).write_text(LAYERS)
    return 0


def times(count: int) -> str:
    """As ``exportJSONTrace`` of TensorRT 10 writes them: one inference a line."""
    lines = []
    for number in range(count):
        start = 0.25 * number
        h2d, compute, d2h = 0.01, 0.2 + 0.001 * number, 0.005
        lines.append(
            f'{{ "startEnqMs" : {start}, "endEnqMs" : {start + 0.02}, '
            f'"startH2dMs" : {start}, "endH2dMs" : {start + h2d}, '
            f'"startComputeMs" : {start + h2d}, "endComputeMs" : {start + h2d + compute}, '
            f'"startD2hMs" : {start + h2d + compute}, "endD2hMs" : {start + h2d + compute + d2h}, '
            f'"h2dMs" : {h2d}, "computeMs" : {compute}, "d2hMs" : {d2h}, "latencyMs" : {h2d + compute + d2h} }}'
        )
    return "[\n  " + "\n, ".join(lines) + "\n]\n"


# As ``exportJSONProfile`` of TensorRT 10 writes them.
LAYERS = """[
  { "count" : 20 }
, { "name" : "conv1 + relu1", "timeMs" : 4.2, "averageMs" : 0.21, "medianMs" : 0.2, "percentage" : 70 }
, { "name" : "Reformatting CopyNode for Output Tensor 0 to fc", "timeMs" : 1.8, "averageMs" : 0.09, "medianMs" : 0.08, "percentage" : 30 }
]
"""  # noqa: E501 - as written there

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
