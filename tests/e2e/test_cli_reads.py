"""Lists, reports and replays as an operator asks for them: real processes, a real database, the simulated partner."""

import json
import sqlite3
from pathlib import Path
from zipfile import ZipFile

import pytest

from simulator.process import SimulatorHandle
from tests.e2e.conftest import Roles
from tests.e2e.test_cli import answer, header, hermes, receipt, source

__all__ = ["hermes", "source"]  # fixtures


@pytest.fixture
def delivered(hermes: Roles, source: sqlite3.Connection, partner: SimulatorHandle) -> Roles:
    """Two receipts accepted, two refused for one cause, one that no scan will ever take up."""
    for code in ("PN1", "PN2", "PN3", "PN4"):
        receipt(source, code)
    source.execute("UPDATE \"PhieuNhapDetail\" SET so_lo = NULL WHERE ma_phieu IN ('PN3', 'PN4')")
    receipt(source, "PN5", status_phieu=9)
    answer(hermes, "sync")
    return hermes


def test_from_a_cause_to_its_documents_to_their_delivery(delivered: Roles, source: sqlite3.Connection) -> None:
    (group,) = answer(delivered, "refusals")["groups"]
    assert (group["documents"], group["message"]) == (2, "Dòng #: thiếu số lô")
    listed = answer(delivered, "list", "--cause", group["cause"], "--sort", "code")
    assert [each["code"] for each in listed["deliveries"]] == ["PN3", "PN4"]
    assert (listed["count"], listed["counted"]) == (2, True)
    assert "PN3" in delivered.run("refusals").stderr + delivered.run("list").stderr

    source.execute("UPDATE \"PhieuNhapDetail\" SET so_lo = 'L9' WHERE ma_phieu IN ('PN3', 'PN4')")
    name = "thiếu số lô"
    create = ("replay", "create", name, "--cause", group["cause"], "--while-queued", "1", "--who", "lan", "--why", "L9")
    assert delivered.run(*create).returncode == 2  # nobody can be asked
    assert answer(delivered, *create, "--yes")["replay"]["documents"] == 2
    assert delivered.run("replay", "pause", name).returncode == 0
    assert answer(delivered, "sync")["total"] == {}
    assert delivered.run("replay", "pause", name).returncode == 1
    assert delivered.run("replay", "resume", name).returncode == 0
    answer(delivered, "sync")
    answer(delivered, "sync")
    shown = answer(delivered, "replay", "show", name, "--items", "5")
    assert (shown["accepted"], shown["waiting"], shown["replay"]["state"]) == (2, 0, "finished")
    assert [item["code"] for item in shown["items"]] == ["PN3", "PN4"]
    assert header(source, "PN4")[0] == 1
    assert [each["name"] for each in answer(delivered, "replay", "list")["replays"]] == [name]
    assert name in delivered.run("replay", "list").stderr
    assert "lan" in delivered.run("replay", "show", name).stderr
    assert delivered.run("replay", "abort", name).returncode == 1
    assert delivered.run("replay", "show", "no such name").returncode == 1
    actions = [each["action"] for each in answer(delivered, "audit", "--action", "replay")["entries"]]
    assert actions == ["replay", "replay", "replay"]
    assert "replay_pause" in delivered.run("audit").stderr


def test_the_books_of_a_day_are_reconciled_and_name_what_was_never_seen(delivered: Roles, tmp_path: Path) -> None:
    period = ("--from", "2026-11-20", "--to", "2026-11-20")
    found = answer(
        delivered, "reconcile", *period, "--codes", "never_seen", "--xlsx", str(tmp_path / "day.xlsx"), code=1
    )
    expected = {"in_source": 5, "delivered": 2, "waiting": 0, "refused": 2, "never_seen": 1, "gone": 0}
    assert found["total"] == expected
    assert [each["code"] for each in found["documents"]] == ["PN5"]
    with ZipFile(tmp_path / "day.xlsx") as book:
        assert "<v>2</v>" in book.read("xl/worksheets/sheet1.xml").decode()
    said = delivered.run("reconcile", *period, "--kind", "phieu_nhap", "--facility", "CS1", "--codes", "never_seen")
    assert said.returncode == 1
    assert "PN5" in said.stderr
    assert delivered.run("reconcile", "--from", "2026-11-21", "--to", "2026-11-21").returncode == 0


def test_a_list_is_written_as_csv_and_xlsx(delivered: Roles, tmp_path: Path) -> None:
    done = delivered.run("list", "--state", "rejected", "--csv", "-")
    assert done.stdout.startswith("\ufeffLoại,Mã,Cơ sở,Ngày chứng từ,Trạng thái,")
    assert len(done.stdout.splitlines()) == 3
    done = delivered.run("list", "--prefix", "PN", "--xlsx", str(tmp_path / "list.xlsx"))
    assert "4" in done.stderr
    assert ZipFile(tmp_path / "list.xlsx").testzip() is None
    refused = delivered.run("list", "--xlsx", str(tmp_path / "no such folder" / "x.xlsx"))
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr
    assert json.loads(delivered.run("list", "--ever-failed", "--json").stdout)["count"] == 2
