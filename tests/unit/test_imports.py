"""Importing any module has no effect: no connection, no file, no required setting."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, pkgutil, socket, sys

def blocked(*_args, **_kwargs):
    raise AssertionError("a module opened a connection when it was imported")

socket.socket.connect = blocked
socket.create_connection = blocked
for root in ("app", "simulator"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        if not module.name.endswith((".__main__", ".migrations.env")):
            importlib.import_module(module.name)
print(len([name for name in sys.modules if name.split(".")[0] in ("app", "simulator")]))
"""


def test_every_module_imports_with_an_empty_environment_and_no_network(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60
    assert list(tmp_path.iterdir()) == []
