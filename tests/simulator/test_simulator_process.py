"""The simulator as a program: started, asked, steered, stopped and killed from outside."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from partner_documents import as_body, complete

from simulator.process import SimulatorError, SimulatorHandle, running_simulator, start_simulator

DEADLINE_SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[2]


def request_for(partner: SimulatorHandle, code: str, key: str) -> Request:
    token = base64.b64encode(f"{partner.username}:{partner.password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json", "Idempotency-Key": key}
    return Request(  # noqa: S310 - our own http URL
        partner.url + "/hoadon", as_body(complete("hoa_don", code)), headers
    )


def send(partner: SimulatorHandle, code: str = "HD-1", key: str = "k-1") -> Any:
    with urlopen(request_for(partner, code, key), timeout=DEADLINE_SECONDS) as response:  # noqa: S310
        return json.load(response)


def test_a_simulator_can_be_asked_and_steered(tmp_path: Path) -> None:
    errors = tmp_path / "stderr.txt"
    with running_simulator(username="hà", password="mật:khẩu", stderr=errors) as partner:
        national_code = send(partner)["ma_hoa_don_quoc_gia"]
        (entry,) = partner.ledger(payloads=True)["documents"]
        (key,) = entry["keys"]
        assert key["accepted"][0]["national_code"] == national_code
        assert key["accepted"][0]["payload"]["customerName"] == "Nguyễn Văn Khách"
        assert partner.totals(kind="phieu_nhap")["documents"] == 0
        assert partner.stats()["results"] == {"accepted": 1}
        partner.set_faults([{"fault": "latency", "seconds": 0.0}])
        assert partner.faults() == [{"fault": "latency", "seconds": 0.0}]
        partner.clear_faults()
        assert partner.faults() == []
        with pytest.raises(SimulatorError, match="must be one of"):
            partner.set_faults([{"fault": "nothing"}])
    assert errors.read_text() == ""
    assert partner.process.returncode == 0


def test_the_whole_ledger_comes_over_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.process.PAGE", 2)
    with running_simulator() as partner:
        for number in range(5):
            send(partner, f"HD-{number}", f"k-{number}")
        ledger = partner.ledger()
        assert [entry["code"] for entry in ledger["documents"]] == [f"HD-{number}" for number in range(5)]
        assert ledger["totals"]["copies"] == 5
        assert len(list(partner.documents(code="HD-3"))) == 1


def test_a_killed_simulator_remembers_what_it_accepted(tmp_path: Path) -> None:
    file = tmp_path / "partner.db"
    first = start_simulator(ledger_file=file)
    national_code = send(first)["ma_hoa_don_quoc_gia"]
    first.kill()
    with running_simulator(ledger_file=file, port=first.port) as second:
        assert second.url == first.url
        assert send(second)["ma_hoa_don_quoc_gia"] == national_code
        assert send(second, "HD-2", "k-2")["ma_hoa_don_quoc_gia"] != national_code
        assert (second.totals()["copies"], second.totals()["repeats"]) == (2, 1)


def test_two_simulators_cannot_share_a_ledger(tmp_path: Path) -> None:
    file, errors = tmp_path / "partner.db", tmp_path / "stderr.txt"
    with running_simulator(ledger_file=file):
        with pytest.raises(SimulatorError, match="database is locked"):
            start_simulator(ledger_file=file, stderr=errors)
        assert "Traceback" not in errors.read_text()


def test_it_ends_promptly_while_a_request_hangs() -> None:
    partner = start_simulator()
    partner.set_faults([{"fault": "hang-after-commit", "seconds": 3600}])
    body = as_body(complete("hoa_don"))
    with socket.create_connection(("127.0.0.1", partner.port), timeout=DEADLINE_SECONDS) as client:
        client.sendall(
            b"POST /hoadon HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cGFydG5lcjpwYXJ0bmVy\r\n"
            b"Content-Type: application/json\r\nIdempotency-Key: k\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while partner.totals()["copies"] == 0:
            assert time.monotonic() < deadline
        begun = time.monotonic()
        partner.stop()
        assert time.monotonic() - begun < 2
        assert client.recv(1) == b""
    assert partner.process.returncode == 0


def test_it_does_not_outlive_the_one_who_started_it() -> None:
    starter = (
        "import os, signal\n"
        "from simulator.process import start_simulator\n"
        "partner = start_simulator()\n"
        "print(partner.port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS * 3, check=False
    )
    assert died.returncode == -signal.SIGKILL
    deadline = time.monotonic() + DEADLINE_SECONDS
    while _listens(int(died.stdout)):
        assert time.monotonic() < deadline


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"refusal_status": 418}, "must be 400 or 422"),
        ({"deny_facility": ["CS1=404"]}, "is not CODE, CODE=401 or CODE=403"),
        ({"faults": "typhoon"}, "typhoon"),
        ({"fault_script": Path("missing.json")}, "missing.json"),
        ({"host": "192.0.2.1"}, "simulator:"),
        ({"no_such_option": 1}, "--no-such-option"),
    ],
)
def test_a_senseless_start_is_refused_with_its_reason(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=told):
        start_simulator(stderr=tmp_path / "stderr.txt", **options)


def test_a_fault_script_comes_from_a_file(tmp_path: Path) -> None:
    script, errors = tmp_path / "script.json", tmp_path / "stderr.txt"
    script.write_text('[{"fault": "garbage", "rate": 0.5}]')
    with running_simulator(fault_script=script) as partner:
        assert partner.faults() == [{"fault": "garbage", "rate": 0.5}]
    script.write_text('[{"fault": "garbage", "rate": 7}]')
    with pytest.raises(SimulatorError, match="less than or equal to 1"):
        start_simulator(fault_script=script, stderr=errors)
    with pytest.raises(SimulatorError, match="not together with"):
        start_simulator(fault_script=script, faults="some", stderr=errors)


def test_the_request_log_has_no_names_and_no_passwords(tmp_path: Path) -> None:
    errors = tmp_path / "stderr.txt"
    with running_simulator(verbose=True, password="rất bí mật", deny_facility=["CS9=403"], stderr=errors) as partner:
        send(partner)
    (line,) = errors.read_text(encoding="utf-8").splitlines()
    assert line.startswith("hoa_don code='HD-1' facility='CS001' key='k-1' -> 200 accepted fault=- ")
    assert "Nguyễn" not in line
    assert "bí mật" not in line


MISBEHAVIOURS: list[dict[str, Any]] = [
    {"fault": "latency", "seconds": 0.3},
    {"fault": "status", "status": 503, "retry_after_seconds": 1},
    {"fault": "cut-before-read"},
    {"fault": "hang-before-read", "seconds": 0.01},
    {"fault": "hang-before-read", "seconds": 60},
    {"fault": "cut-after-commit"},
    {"fault": "hang-after-commit", "seconds": 0.01},
    {"fault": "half-body"},
    {"fault": "html-200"},
    {"fault": "code-in-200"},
    {"fault": "slow-body", "seconds": 0.01},
    {"fault": "slow-body", "seconds": 60},
    {"fault": "huge-body", "megabytes": 50},
    {"fault": "garbage"},
    {"fault": "redirect"},
    {"fault": "empty-200"},
]


@pytest.mark.parametrize("patience", [0.1, DEADLINE_SECONDS], ids=["impatient", "patient"])
def test_misbehaving_is_not_an_error_of_the_program(patience: float, tmp_path: Path) -> None:
    errors = tmp_path / "stderr.txt"
    rules = [rule for rule in MISBEHAVIOURS if patience < 1 or rule.get("seconds") != 60]
    with running_simulator(stderr=errors) as partner:
        for number, rule in enumerate(rules):
            partner.set_faults([rule])
            request = request_for(partner, f"HD-{number}", f"k-{number}")
            with suppress(OSError, HTTPException, ValueError):
                urlopen(request, timeout=patience).close()  # noqa: S310 - leaves most of a huge body unread
        assert partner.stats()["requests"]["hoa_don"] == len(rules)
    assert errors.read_text(encoding="utf-8") == ""


def test_standard_output_has_one_line_only() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0", "--verbose"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert set(json.loads(first)) == {"listening"}
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=DEADLINE_SECONDS)[0] == b""


def test_help_shows_examples() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "simulator", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "python -m simulator --port 8088" in shown.stdout
    assert "conflict-bare" in shown.stdout
