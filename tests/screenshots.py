"""`python -m tests.screenshots`: the pictures of the console in the documents.

The same ones again from the same browser and fonts. What is the browser's own, such as fields for days, is in
Vietnamese only where the browser speaks it: on Debian with chromium-l10n.
"""

import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from math import dist
from pathlib import Path
from urllib.parse import quote

import structlog
from PIL import Image
from playwright.sync_api import Browser

from app.core.config import isolate
from app.domain.deliveries import Selection
from app.domain.states import State
from app.wiring import Gateway
from tests.browser import MISSING, PHONE, Visit, chromium, find_chromium
from tests.integration.console import serving
from tests.showroom import INCIDENT, showroom

FOLDER = Path(__file__).parents[1] / "docs" / "images"
LANGUAGES = ("vi", "en")
WIDTH = 1120
LARGEST = 120_000
COLOURS = 256


@dataclass(frozen=True, slots=True)
class Picture:
    """One page as it is seen, down to `height`."""

    name: str
    path: str
    height: int
    scheme: str = "light"
    width: int = WIDTH
    languages: tuple[str, ...] = LANGUAGES


def main() -> int:
    """Take all pictures; returns the exit code."""
    if find_chromium() is None:
        print(MISSING, file=sys.stderr)  # noqa: T201
        return 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    FOLDER.mkdir(exist_ok=True)
    for language in LANGUAGES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            isolate(folder, {"HERMES_LANG": language})
            with showroom(folder) as gateway, serving(gateway) as port, chromium(language) as browser:
                for file in _take(gateway, browser, f"http://127.0.0.1:{port}", language):
                    print(f"{file.relative_to(FOLDER.parents[1])} {file.stat().st_size:,}")  # noqa: T201
    return 0


def _take(gateway: Gateway, browser: Browser, url: str, language: str) -> Iterator[Path]:
    for picture in (each for each in _pictures(gateway) if language in each.languages):
        size = (picture.width, picture.height)
        visit = Visit(browser, url, language=language, scheme=picture.scheme, size=size)
        visit.enter(gateway.access.login_token("lan", lasts=timedelta(hours=1)))
        visit.page.goto(picture.path)
        file = FOLDER / f"{picture.name}.{language}.png"
        _write(visit.page.screenshot(animations="disabled", caret="hide"), file)
        visit.context.close()
        if file.stat().st_size > LARGEST:
            raise RuntimeError(f"{file} is too large for the repository: show less of the page")
        yield file


def _write(seen: bytes, file: Path) -> None:
    """In its commonest colours, and the others as the nearest of these: it takes a third of the room."""
    with Image.open(BytesIO(seen)) as opened:
        pixels = opened.convert("RGB").tobytes()
        size = opened.size
    points = list(zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True))
    found = [colour for colour, _ in sorted(Counter(points).items(), key=lambda each: (-each[1], each[0]))]
    kept = found[:COLOURS]
    places = {colour: min(range(len(kept)), key=lambda place: dist(kept[place], colour)) for colour in found}
    picture = Image.frombytes("P", size, bytes(places[point] for point in points))
    picture.putpalette([part for colour in kept for part in colour])
    picture.save(file, optimize=True)


def _pictures(gateway: Gateway) -> list[Picture]:
    replay = f"/replays/one?name={quote(INCIDENT)}"
    return [
        Picture("overview", "/", 1110),
        Picture("overview-dark", "/", 1110, scheme="dark", languages=("vi",)),
        Picture("overview-phone", "/", 800, width=PHONE[0], languages=("vi",)),
        Picture("deliveries", "/deliveries?state=rejected&state=parked&state=unknown", 640, languages=("vi",)),
        Picture("document", _rejected(gateway), 1040),
        Picture("refusals", "/errors", 640),
        Picture("replay", replay, 640, languages=("vi",)),
        Picture("reconciliation", "/reconciliation?open_only=true", 640),
    ]


def _rejected(gateway: Gateway) -> str:
    """A goods receipt that is wrong in two lines."""
    rejected = gateway.ledger.page(Selection(kind="phieu_nhap", state=State.REJECTED), ("", ""), 50)
    found = next(each for each in rejected if ";" in (each.error_message or ""))
    return f"/deliveries/{found.kind}/{found.code}"


if __name__ == "__main__":
    sys.exit(main())
