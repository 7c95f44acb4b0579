"""Environments of their own for tests, filled by pip from its registry."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command, cwd, **environment):
    """Run a command without what this Python was told, and return what it printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@contextmanager
def environment(constraints, *requirements):
    """Install requirements into a new environment, yield its Python, and remove it.

    A file of constraints has the versions. Everything is installed, PyTorch too: of the version
    ``torch==2.13.0``, pip takes the CPU build where it finds one. Modules are compiled when they
    are imported, since few of them are.
    """
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
        python = Path(folder) / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile")
        run(*pip, "-c", ROOT / constraints, *requirements, cwd=ROOT)
        yield python
