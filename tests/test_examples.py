"""Every example runs, in a process and a folder of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr


def test_an_example_becomes_a_notebook(tmp_path):
    """As `sphinx_gallery_py2jupyter` does, which the page on installation names."""
    notebook = pytest.importorskip("sphinx_gallery.notebook")
    guide = (ROOT / "docs/installation.md").read_text(encoding="utf-8")
    assert "sphinx_gallery_py2jupyter examples/*.py" in guide
    example = Path(shutil.copy(ROOT / "examples/plot_quickstart.py", tmp_path))
    notebook.python_to_jupyter_cli([str(example)])
    cells = json.loads((tmp_path / "plot_quickstart.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code and len(code) < len(cells)
    assert code[-1].strip() in example.read_text(encoding="utf-8")


def test_readme_has_the_commands_that_ci_and_users_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ends = {"quickstart": "examples/plot_quickstart.py", "tests": "pytest -n auto --dist loadfile"}
    for name, needed in ends.items():
        _, _, after = text.partition(f"<!-- command: {name} -->\n```bash\n")
        command = after.partition("\n```")[0]
        assert "\n" not in command and command.endswith(needed)
        assert "-c constraints.txt" in command
