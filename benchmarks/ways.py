"""What Hermes is measured against: nothing but HTTP, and the task as it is usually written.

`python -m benchmarks.ways bare|naive FILE URL DOCUMENTS IN_FLIGHT` sends that many pending invoices of a database, in
a process of its own, and prints {"seconds": wall time of sending, "cpu_seconds": of this process}.
"""

import asyncio
import json
import sqlite3
import sys
import time
from typing import Any

import aiohttp

from app.core.config import load_settings
from app.db.engine import open_engine
from app.db.source import SqlSource
from app.partners import Prepared
from app.partners.basic import BASIC
from benchmarks.database import KIND

Times = dict[str, float]


async def bare(file: str, url: str, documents: int, in_flight: int) -> Times:
    """Nothing but HTTP: finished bodies through one aiohttp session. What no gateway on aiohttp can exceed."""
    bodies = iter(_bodies(file, documents))
    headers = {"Content-Type": "application/json; charset=utf-8"}
    connector, login = aiohttp.TCPConnector(limit=in_flight), aiohttp.BasicAuth("partner", "partner")
    async with aiohttp.ClientSession(connector=connector, headers=headers, auth=login) as session:

        async def sender() -> None:
            for code, body in bodies:
                async with session.post(_address(url), data=body, headers={"Idempotency-Key": code}) as response:
                    response.raise_for_status()
                    await response.json()

        started = _now()
        await asyncio.gather(*(sender() for _ in range(in_flight)))
        return _since(started)


def naive(file: str, url: str, documents: int) -> Times:
    """The task as it is usually written: per document a database connection, an HTTP client and a commit."""
    import httpx  # only here: an extra

    with sqlite3.connect(file) as connection:
        query = "SELECT ma_hoa_don FROM HoaDonHeader WHERE status_phieu = 0 LIMIT ?"
        codes = [code for (code,) in connection.execute(query, [documents])]
    connection.close()

    async def task(code: str) -> None:
        connection = sqlite3.connect(file)
        connection.row_factory = sqlite3.Row
        header = dict(connection.execute("SELECT * FROM HoaDonHeader WHERE ma_hoa_don = ?", [code]).fetchone())
        lines = [dict(row) for row in connection.execute("SELECT * FROM HoaDonDetail WHERE ma_hoa_don = ?", [code])]
        payload: dict[str, Any] = {"billCode": code, **header, "items": lines}
        async with httpx.AsyncClient(auth=("partner", "partner")) as client:
            reply = await client.post(_address(url), json=payload, headers={"Idempotency-Key": code})
        reply.raise_for_status()
        number = reply.json()[KIND.national_code_column]
        connection.execute(
            "UPDATE HoaDonHeader SET status_phieu = 1, ma_hoa_don_quoc_gia = ? WHERE ma_hoa_don = ?", [number, code]
        )
        connection.commit()
        connection.close()

    started = _now()
    for code in codes:
        asyncio.run(task(code))
    return _since(started)


def _address(url: str) -> str:
    return f"{url}/{BASIC.endpoints[KIND.name].path.lstrip('/')}"


def _bodies(file: str, documents: int) -> list[tuple[str, bytes]]:
    """The invoices as they go over the wire: (code, body), built beforehand."""
    source = SqlSource(open_engine(load_settings(source_database_url=f"sqlite:///{file}")))
    endpoint = BASIC.endpoints[KIND.name]
    made: list[tuple[str, bytes]] = []
    for page in source.pending(KIND):
        for document in page:
            prepared = endpoint.prepare(document)
            if not isinstance(prepared, Prepared):
                raise ValueError(f"{document.code} is not fit to be sent")
            made.append((document.code, prepared.body))
        if len(made) >= documents:
            break
    return made[:documents]


def _now() -> Times:
    return {"seconds": time.perf_counter(), "cpu_seconds": time.process_time()}


def _since(started: Times) -> Times:
    return {name: value - started[name] for name, value in _now().items()}


if __name__ == "__main__":
    way, file, url, documents, in_flight = sys.argv[1:]
    sent = naive(file, url, int(documents)) if way == "naive" else asyncio.run(
        bare(file, url, int(documents), int(in_flight))
    )  # fmt: skip
    sys.stdout.write(json.dumps(sent))
