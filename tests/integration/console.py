"""A console on a socket, and browsers that keep cookies and fill in forms."""

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from app.core.config import load_settings
from app.core.progress import Pulse
from app.web import create_app
from app.web.server import ConsoleServer, listen
from app.wiring import Gateway
from tests.integration.conftest import free_port

PASSWORD = "một mật khẩu dài"
_START_SECONDS = 20


@dataclass
class Answer:
    """What the console answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def leads_to(self) -> str:
        return self.headers["Location"]


@dataclass
class Browser:
    """Keeps cookies, follows nothing by itself."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
        try:
            connection.request(method, path, body, given)
            found = connection.getresponse()
            answer = Answer(found.status, found.headers, found.read())
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        answer = self.send("GET", path, headers=headers)
        if found := re.search(r'name="form_token" value="(\w+)"', answer.body.decode("utf-8", "replace")):
            self.token = found[1]
        return answer

    def post(self, path: str, *, token: str | None = None, **fields: str) -> Answer:
        """Send a form with the token of the page that was seen last."""
        body = urlencode({"form_token": self.token if token is None else token, **fields}).encode()
        return self.send("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        self.get("/login")
        answer = self.post("/login", name=name, password=password)
        if answer.status == 303:
            self.get(urlsplit(answer.leads_to).path)
        return answer


@contextmanager
def serving(gateway: Gateway, pulse: Pulse | None = None) -> Iterator[int]:
    """Serve on a free port while the block runs."""
    port = free_port()
    settings = gateway.settings
    taken = listen(load_settings(console_port=port))
    server = ConsoleServer(create_app(gateway, pulse=pulse), settings, taken)
    with server.beside():
        _wait_until_it_answers(port)
        yield port


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            Browser(port).get("/healthz")
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("the console does not answer")
