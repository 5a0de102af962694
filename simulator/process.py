"""Starting a simulator as a process of its own, and talking to its control endpoints.

Standard library only, and safe to use from anywhere: the process ends with the one that started it,
however that one ends.

    with running_simulator(faults="storm", hang_seconds=2) as partner:
        ...  # send documents to partner.url
        totals = partner.totals()
        assert totals["duplicated_documents"] == 0
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

DEFAULT_CREDENTIAL = "partner"
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
CONTROL_SECONDS = 60.0
PAGE = 5000

Option = str | int | float | bool | Path | Sequence[str] | None

_OPENER = build_opener(ProxyHandler({}))  # never through a proxy: it is on this machine


class SimulatorError(RuntimeError):
    """The simulator did not get ready, or refused a call to a control endpoint; the text says why."""


def is_simulator(url: str) -> bool:
    """Whether a simulator answers at this base URL. Raises OSError when nothing does."""
    try:
        with _OPENER.open(f"{url}/_simulator/stats", timeout=CONTROL_SECONDS) as response:
            return "max_in_flight" in json.load(response)
    except (HTTPError, ValueError):
        return False


class SimulatorHandle:
    """A running simulator: ``url`` is its base URL, without a slash at the end."""

    def __init__(self, process: subprocess.Popen[str], url: str, username: str, password: str) -> None:
        self.process = process
        self.url = url
        self.username = username
        self.password = password

    @property
    def port(self) -> int:
        """Where it listens; another one started with this ``port`` and ``ledger_file`` revives it."""
        return int(self.url.rsplit(":", 1)[1])

    def documents(
        self, *, kind: str | None = None, code: str | None = None, payloads: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Every accepted document in order of kind and code, fetched page by page."""
        for page in self._pages(kind, code, payloads):
            yield from page["documents"]

    def ledger(self, *, kind: str | None = None, code: str | None = None, payloads: bool = False) -> dict[str, Any]:
        """``{"totals": {…}, "documents": […]}``, all pages in one; fractions are Decimal."""
        pages = self._pages(kind, code, payloads)
        first = next(pages)
        documents: list[dict[str, Any]] = first["documents"]
        for page in pages:
            documents.extend(page["documents"])
        return {"totals": first["totals"], "documents": documents}

    def totals(self, *, kind: str | None = None, code: str | None = None) -> dict[str, int]:
        """The totals of the ledger, without its documents."""
        totals: dict[str, int] = self._get_ledger({"kind": kind, "code": code, "limit": 1})["totals"]
        return totals

    def stats(self) -> dict[str, Any]:
        """Counts since the start of the process."""
        stats: dict[str, Any] = self._call("GET", "/_simulator/stats")
        return stats

    def faults(self) -> list[dict[str, Any]]:
        """The fault rules in force."""
        rules: list[dict[str, Any]] = self._call("GET", "/_simulator/faults")["rules"]
        return rules

    def set_faults(self, rules: Sequence[dict[str, Any]]) -> None:
        """Replaces the fault rules; ages and tries count from now on. Raises SimulatorError."""
        self._call("PUT", "/_simulator/faults", json.dumps(rules).encode("utf-8"))

    def clear_faults(self) -> None:
        """From now on the simulator behaves."""
        self._call("DELETE", "/_simulator/faults")

    def stop(self) -> None:
        """Asks it to end and waits; whatever still hangs is dropped."""
        self.process.terminate()
        self._reap()

    def kill(self) -> None:
        """Ends it as a power cut would; what it had recorded in a ledger file stays."""
        self.process.kill()
        self._reap()

    def _reap(self) -> None:
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _pages(self, kind: str | None, code: str | None, payloads: bool) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"kind": kind, "code": code, "limit": PAGE}
        query["payloads"] = "true" if payloads else None
        after = None
        while True:
            page = self._get_ledger({**query, "after": after})
            yield page
            after = page["next_after"]
            if after is None:
                return

    def _get_ledger(self, query: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        page: dict[str, Any] = self._call("GET", f"/_simulator/ledger?{urlencode(given)}")
        return page

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = Request(self.url + path, data=body, method=method)  # noqa: S310 - our own http URL
        try:
            with _OPENER.open(request, timeout=CONTROL_SECONDS) as response:
                return json.load(response, parse_float=Decimal)
        except HTTPError as error:
            with error:
                raise SimulatorError("\n".join(json.load(error)["errors"])) from None


def start_simulator(
    *,
    username: str = DEFAULT_CREDENTIAL,
    password: str = DEFAULT_CREDENTIAL,
    stderr: Path | None = None,
    **options: Option,
) -> SimulatorHandle:
    """Starts ``python -m simulator`` and waits until it takes requests; the caller must stop it.

    ``options`` are those of the command line with underscores: ``faults="some"``, ``verbose=True``,
    ``deny_facility=["CS01=403"]``; ``port`` is a free one unless given, None means not given. Standard
    error is inherited, or appended to the file ``stderr``. Raises SimulatorError.
    """
    # Credentials travel by environment: command lines are visible to every user of the machine.
    environment = {**os.environ, "SIMULATOR_USERNAME": username, "SIMULATOR_PASSWORD": password}
    root = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "simulator", "--exit-with-stdin", *_arguments({"port": 0, **options})]
    with _error_stream(stderr) as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
    url = _url_when_ready(process)
    handle = SimulatorHandle(process, url or "", username, password)
    if url is None:
        handle.kill()
        raise SimulatorError(f"the simulator did not get ready: {_said(stderr)}")
    return handle


@contextmanager
def running_simulator(
    *,
    username: str = DEFAULT_CREDENTIAL,
    password: str = DEFAULT_CREDENTIAL,
    stderr: Path | None = None,
    **options: Option,
) -> Iterator[SimulatorHandle]:
    """A simulator for the length of a ``with`` block; arguments as for :func:`start_simulator`."""
    handle = start_simulator(username=username, password=password, stderr=stderr, **options)
    try:
        yield handle
    finally:
        handle.stop()


@contextmanager
def _error_stream(file: Path | None) -> Iterator[IO[bytes] | None]:
    if file is None:
        yield None
    else:
        with file.open("ab") as stream:
            yield stream


def _arguments(options: dict[str, Option]) -> list[str]:
    arguments: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            arguments += [flag] if value else []
        elif isinstance(value, str | int | float | Path):
            arguments += [flag, str(value)]
        elif value is not None:
            for member in value:
                arguments += [flag, member]
    return arguments


def _url_when_ready(process: subprocess.Popen[str]) -> str | None:
    """The announced base URL, or None when the process ends, or takes too long, before it announces one."""
    lines: list[str] = []
    assert process.stdout is not None  # noqa: S101 - asked for above
    # A thread, because a pipe cannot be read with a deadline on every platform.
    reader = threading.Thread(target=lambda out: lines.append(out.readline()), args=(process.stdout,), daemon=True)
    reader.start()
    reader.join(READY_SECONDS)
    return str(json.loads(lines[0])["listening"]) if lines and lines[0] else None


def _said(stderr: Path | None) -> str:
    if stderr is None:
        return "see standard error"
    return stderr.read_text(encoding="utf-8", errors="replace").strip()
