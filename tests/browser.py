"""A real Chromium without a window: the one that is installed here. None is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

GIVEN = os.environ.get("HERMES_TEST_CHROMIUM")
NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
MISSING = "no Chromium: install one (on Debian: apt-get install chromium), or name one by HERMES_TEST_CHROMIUM"

WIDE = (1280, 800)
PHONE = (360, 740)


def find_chromium() -> str | None:
    """The browser that was named, else one on PATH."""
    return GIVEN or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(language: str = "vi") -> Iterator[Browser]:
    """The browser, for the length of the block. In `language` it writes what is its own, such as fields for days."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--font-render-hinting=none", f"--lang={language}"],
            env={**os.environ, "LANGUAGE": language},
        )
        yield browser
        browser.close()


class Visit:
    """One visitor's tab on the console at `url`, and what went on behind what is seen."""

    def __init__(
        self, browser: Browser, url: str, *, language: str = "vi", scheme: str = "light", size: tuple[int, int] = WIDE
    ) -> None:
        self.url = url
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.answered: list[Request] = []
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            color_scheme="dark" if scheme == "dark" else "light",
            locale={"vi": "vi-VN", "en": "en-GB"}[language],
            reduced_motion="reduce",
            viewport={"width": size[0], "height": size[1]},
        )
        self.context.set_default_timeout(30_000)
        self.context.add_cookies([{"name": "hermes_lang", "value": language, "url": url}])
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note_request)
        self.page.on("requestfinished", self._note_answer)

    def enter(self, token: str) -> None:
        """Come in by a one-time link."""
        self.page.goto(f"/enter/{token}")

    @property
    def elsewhere(self) -> list[str]:
        """Addresses of other hosts that were asked for."""
        return [each for each in self.asked if not each.startswith(self.url)]

    def transferred(self) -> int:
        """Bytes of all answers since `answered` was emptied."""
        sizes = [each.sizes() for each in self.answered]
        return sum(each["responseHeadersSize"] + each["responseBodySize"] for each in sizes)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _note_answer(self, request: Request) -> None:
        self.answered.append(request)
