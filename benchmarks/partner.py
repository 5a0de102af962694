"""The partner of a benchmark: it takes everything, at once or after a while, and writes down what arrived.

nginx where the machine has one and no latency is asked for, else an asyncio server. Both answer what they are asked
for and no more: whether Hermes understands a real partner is what the tests are for.

`python -m benchmarks.partner PORT LATENCY_SECONDS FILE` runs the asyncio server until SIGTERM.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.redis_server import free_port

NATIONAL_CODES = ("ma_phieu_nhap_quoc_gia", "ma_phieu_xuat_quoc_gia", "ma_hoa_don_quoc_gia")


@dataclass(frozen=True, slots=True)
class Books:
    """What arrived: requests, and how many different documents they carried, by idempotency key."""

    requests: int
    documents: int


@dataclass(frozen=True, slots=True)
class Partner:
    """A running stand-in."""

    name: str
    url: str
    _process: subprocess.Popen[bytes]
    _keys: Path

    def close(self) -> Books:
        """End it; all that arrived."""
        self._process.terminate()
        self._process.wait()
        keys = self._keys.read_text().split()
        return Books(len(keys), len(set(keys)))


@contextlib.contextmanager
def running_partner(folder: Path, *, latency: float = 0.0) -> Iterator[Partner]:
    """A stand-in that answers after `latency` seconds and keeps its books in `folder`."""
    port, keys = free_port(), folder / "partner.keys"
    keys.unlink(missing_ok=True)
    name = kind_of_partner(latency)
    command = _nginx(folder, port, keys) if name == "nginx" else _asyncio(port, latency, keys)
    # A session of its own: Ctrl-C is for whoever measures, and it ends what it started.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        _wait_for(port)
        yield Partner(name, f"http://127.0.0.1:{port}", process, keys)
    finally:
        process.terminate()
        process.wait()


def kind_of_partner(latency: float) -> str:
    """Which stand-in answers after `latency` seconds."""
    return "nginx" if _nginx_executable() and not latency else "asyncio"


def _nginx_executable() -> str | None:
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    log_format key '$http_idempotency_key'; access_log {keys} key buffer=256k;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    keepalive_requests 100000000; default_type application/json;
    server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{body}'; }} }}
}}
"""


def _nginx(folder: Path, port: int, keys: Path) -> list[str]:
    body = json.dumps(dict.fromkeys(NATIONAL_CODES, "QG-$http_idempotency_key"))
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, keys=keys, body=body))
    return [str(_nginx_executable()), "-c", str(configuration), "-e", str(folder / "nginx.log")]


def _asyncio(port: int, latency: float, keys: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.partner", str(port), str(latency), str(keys)]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no partner on port {port}")
        time.sleep(0.02)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request after the other, bodies by Content-Length."""

    def __init__(self, latency: float, keys: list[str]) -> None:
        self._latency = latency
        self._keys = keys
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            lines = self._received[:end].decode("latin-1").split("\r\n")[1:]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._answer(headers.get("idempotency-key", "-"))

    def _answer(self, key: str) -> None:
        self._keys.append(key)
        body = json.dumps(dict.fromkeys(NATIONAL_CODES, f"QG-{key}"))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        reply = (head + body).encode()
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, reply)
        else:
            self._transport.write(reply)


async def _serve(port: int, latency: float) -> list[str]:
    """Answer until SIGTERM; the key of each request."""
    loop, keys, asked_to_end = asyncio.get_running_loop(), list[str](), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked_to_end.set)
    await loop.create_server(lambda: _Connection(latency, keys), "127.0.0.1", port, backlog=1024)
    await asked_to_end.wait()
    return keys


if __name__ == "__main__":
    arrived = asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
    Path(sys.argv[3]).write_text("\n".join(arrived))
