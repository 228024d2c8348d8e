"""Real reverse proxies, configured as docs/proxy.md says, with a certificate of their own."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from children import die_with_parent, free_port, wait_for_port

NAME = "paretune.example"
_ROOT = Path(__file__).parents[2]
_UNPACKED = Path(sys.prefix) / "proxies" / "usr"
"""Where ``make proxies`` puts them, if the system has none."""


def find_proxy(name: str) -> str | None:
    """Returns the program of a proxy; None if there is none."""
    places = [str(_UNPACKED / "sbin"), str(_UNPACKED / "bin"), "/usr/sbin"]
    return shutil.which(name) or next(filter(None, (shutil.which(name, path=place) for place in places)), None)


@contextlib.contextmanager
def running_proxy(name: str, server: str, folder: Path) -> Iterator[int]:
    """A proxy before the server at an address, such as ``http://127.0.0.1:8700``; yields its port, which takes TLS."""
    port = free_port()
    certificate, key = _certificate(folder)
    text = _documented("nginx" if name == "nginx" else "caddyfile").replace("127.0.0.1:8700", server.partition("//")[2])
    if name == "nginx":
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        text = text.replace(f"/etc/ssl/{NAME}.pem", str(certificate)).replace(f"/etc/ssl/{NAME}.key", str(key))
        command = _nginx(text, folder)
    else:
        text = text.replace(f"{NAME} {{", f"https://{NAME}:{port} {{\n    tls {certificate} {key}\n    bind 127.0.0.1")
        command = _caddy(text, folder)
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            [find_proxy(name) or name, *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent, env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )  # fmt: skip
    try:
        wait_for_port(port, process, folder / "proxy.log")
        yield port
    finally:
        process.kill()
        process.wait()


def certificate_of(folder: Path) -> Path:
    """Returns the file of the certificate that a proxy of the folder has."""
    return folder / "certificate.pem"


def _documented(language: str) -> str:
    """Returns the configuration of the page."""
    page = (_ROOT / "docs" / "proxy.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return str(block)


def _nginx(site: str, folder: Path) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{paths}\n{site}}}\n"
    )
    return ["-p", str(folder), "-c", str(folder / "nginx.conf")]


def _caddy(site: str, folder: Path) -> list[str]:
    options = "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n"
    (folder / "Caddyfile").write_text(options + site)
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = certificate_of(folder), folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
