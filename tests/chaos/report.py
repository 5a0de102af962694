"""What a run came to: a table for the terminal, a Markdown page, and JSON."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from app.core.clock import VIETNAM
from tests.chaos.rounds import SCENARIOS, Round
from tests.chaos.verdict import Name

COLUMNS = ("scenario", "rounds", "documents", "uncertain", "for a person", "lost", "duplicated", "disagreeing",
           "recovered in s (median)", "(max)")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """All rounds of one scenario."""

    scenario: str
    rounds: Sequence[Round]

    @property
    def failed(self) -> int:
        """How many rounds did not hold."""
        return sum(not each.holds for each in self.rounds)

    def count(self, which: str) -> int:
        """Documents of this finding in all rounds."""
        return sum(len(getattr(each.verdict, which)) for each in self.rounds if each.verdict is not None)

    @property
    def recovered(self) -> list[float]:
        """Seconds from the harm's end to the last answer, of the rounds that got there."""
        return [each.recovered_seconds for each in self.rounds if each.recovered_seconds is not None]

    def cells(self) -> list[str]:
        """The line as it is shown, in the order of COLUMNS."""
        counts = [self.count(which) for which in ("uncertain", "for_a_person", "lost", "duplicated", "disagreeing")]
        times = self.recovered
        return [
            self.scenario,
            str(len(self.rounds)),
            str(sum(each.documents for each in self.rounds)),
            *map(str, counts),
            f"{median(times):.1f}" if times else "–",
            f"{max(times):.1f}" if times else "–",
        ]


def lines(rounds: Iterable[Round]) -> list[Line]:
    """One line per scenario, in the order of the scenarios."""
    order = {name: number for number, name in enumerate(SCENARIOS)}
    ordered = sorted(rounds, key=lambda each: (order[each.scenario], each.seed))
    return [Line(name, list(some)) for name, some in groupby(ordered, key=attrgetter("scenario"))]


def show(console: Console, rounds: Sequence[Round]) -> None:
    """The table, then what failed and where its folder is."""
    table = Table()
    for number, heading in enumerate(COLUMNS):
        table.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    for line in lines(rounds):
        table.add_row(*line.cells(), style="red" if line.failed else None)
    console.print(table)
    for failed in (each for each in rounds if not each.holds):
        console.print(f"{failed.scenario}, seed {failed.seed}: see {failed.folder}", style="red", markup=False)
        for reason in list(findings(failed))[:10]:
            console.print(f"  {reason}", markup=False)


def findings(played: Round) -> Iterator[str]:
    """One sentence per thing that is wrong with a round."""
    if played.trouble is not None:
        yield played.trouble
    if played.verdict is not None:
        yield from played.verdict.reasons


def write_markdown(file: Path, rounds: Sequence[Round], command: str, seconds: float) -> None:
    """The table as a page: what was run, when and on what."""
    now = datetime.now(VIETNAM)
    failed = sum(not each.holds for each in rounds)
    documents = sum(each.documents for each in rounds)
    text = [
        "# Chaos rounds",
        "",
        f"`{command}` · {now:%Y-%m-%d %H:%M} · {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()} · {seconds / 60:.0f} min",
        "",
        f"{len(rounds)} rounds with {documents} documents: "
        + (f"**{failed} rounds failed**." if failed else "nothing lost, nothing duplicated, nothing disagreeing."),
        "",
        f"| {' | '.join(COLUMNS)} | what is done to it |",
        f"|---{'|---:' * (len(COLUMNS) - 1)}|---|",
        *(f"| {' | '.join(line.cells())} | {SCENARIOS[line.scenario].meaning} |" for line in lines(rounds)),
        "",
        "*Uncertain*: documents that were ever `unknown`. *For a person*: `unknown` ones that wait for a decision, as "
        "UNKNOWN_OUTCOME_POLICY=hold asks. *Recovered*: from the end of the harm to the last document's answer.",
        "",
    ]
    file.write_text("\n".join(text), encoding="utf-8")


def write_json(file: Path, rounds: Sequence[Round]) -> None:
    """Every round with its findings."""
    file.write_text(json.dumps([_as_json(each) for each in rounds], ensure_ascii=False, indent=1), encoding="utf-8")


def _as_json(played: Round) -> dict[str, Any]:
    found: dict[str, list[Name]] = {}
    if played.verdict is not None:
        for which in ("uncertain", "for_a_person", "lost", "duplicated", "disagreeing"):
            found[which] = sorted(getattr(played.verdict, which))
    return {
        "scenario": played.scenario,
        "seed": played.seed,
        "holds": played.holds,
        "documents": played.documents,
        "recovered_seconds": played.recovered_seconds,
        "seconds": played.seconds,
        "restarts": played.restarts,
        "findings": list(findings(played)),
        "folder": None if played.holds else str(played.folder),
        **found,
    }
