"""What the documents let a reader type does what they say it does."""

import re
import subprocess
import sys
from pathlib import Path

from simulator.process import SimulatorHandle

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
PARTNER = "http://127.0.0.1:8088"


def test_the_quickstart_goes_as_it_is_written(tmp_path: Path, partner: SimulatorHandle) -> None:
    """Every block after the installation, in its order; a block below a command is what the command says."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    written = QUICKSTART.replace(PARTNER, partner.url).replace("=demo\n", "=partner\n")
    blocks = re.findall(r"^```\n(.*?)^```$", written, re.MULTILINE | re.DOTALL)
    environment, *blocks = [block for block in blocks if "make setup" not in block and "listening" not in block]
    (tmp_path / ".env").write_text(environment, encoding="utf-8")
    said = ""
    for block in blocks:
        if ".venv/bin/" in block:
            done = subprocess.run(["bash", "-ec", block], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}\n{done.stderr}"
            said = done.stdout + done.stderr
            continue
        assert [line for line in block.splitlines() if line not in said.splitlines()] == [], said
    assert partner.totals()["copies"] == 2
