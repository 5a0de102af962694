"""A program that uses the JSON API."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from app.web.api import PREFIX


@dataclass
class Answer:
    """What the API answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def wrong(self) -> list[str]:
        """Where the values stand that cannot be used."""
        return [each["where"] for each in self.json.get("errors", ())]


@dataclass
class Program:
    """Shows its token with every request."""

    port: int
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        given = dict(self.headers)
        if self.token is not None:
            given["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, f"{PREFIX}{path}", body, {**given, **(headers or {})})
            found = connection.getresponse()
            return Answer(found.status, found.headers, found.read())
        finally:
            connection.close()

    def get(self, path: str, **asked: Any) -> Answer:
        query = urlencode({name: value for name, value in asked.items() if value is not None}, doseq=True)
        return self.send("GET", f"{path}?{query}" if query else path)

    def post(self, path: str, **body: Any) -> Answer:
        return self.send("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def at(kind: str, code: str, action: str = "") -> str:
    """The address of a delivery, or of what can be done about it."""
    return f"/deliveries/{kind}/{quote(code, safe='')}{'/' if action else ''}{action}"
