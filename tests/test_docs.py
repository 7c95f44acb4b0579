"""The documentation builds without warnings, and its code runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skuae.datasets import make_toy_crystals
from skuae.embedding import get_table

ROOT = Path(__file__).parents[1]
# What builds write among the sources; each build here starts from none of it.
WRITTEN = ("_build", "auto_examples", "generated", "sg_execution_times.rst")


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path):
    for folder in ("docs", "examples"):
        ignore = shutil.ignore_patterns(*WRITTEN)
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
    done = subprocess.run(
        [*command, "-D", "plot_gallery=0", "docs", "docs/_build"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    built = tmp_path / "docs/_build"
    assert "Predict the targets of crystals" in (
        built / "api/generated/skuae.CrystalGNNRegressor.html"
    ).read_text(encoding="utf-8")
    assert (built / "auto_examples/plot_quickstart.html").exists()


def test_all_pages_are_in_the_table_of_contents():
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert pages <= set(index.partition("{toctree}")[2].split())


def code_blocks(page, caption):
    """Return the Python blocks of a page that have this caption."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    pattern = rf"```\{{code-block\}} python\n:caption: {caption}\n\n(.*?)```"
    return re.findall(pattern, text, flags=re.DOTALL)


def test_code_for_those_who_come_from_elsewhere_runs(tmp_path, monkeypatch):
    pytest.importorskip("matminer")
    blocks = code_blocks("coming_from.md", "skuae")
    assert len(blocks) == 8
    monkeypatch.chdir(tmp_path)
    toy = make_toy_crystals(40, random_state=0)
    folder = tmp_path / "root_dir"
    folder.mkdir()
    lines = []
    for i, (structure, y) in enumerate(zip(toy.structures[:20], toy.target, strict=False)):
        name = "ab"[i] if i < 2 else f"c{i}"
        structure.to(filename=str(folder / f"{name}.cif"))
        lines.append(f"{name},{y}")
    (folder / "id_prop.csv").write_text("\n".join(lines))
    (tmp_path / "atom_init.json").write_text('{"1": [0, 1], "3": [1, 0]}')
    names = {"frame": toy.frame.rename(columns={"electronegativity": "energy"})}
    for block in blocks:
        block = re.sub(r"max_epochs=\d+", "max_epochs=2", block)
        exec(compile(block, "coming_from.md", "exec"), names)
    assert names["table"]["Li"].tolist() == [1, 0]
    n_columns = get_table("ct-uae-mt").n_dims
    assert len(names["both"].feature_labels()) == 4 * n_columns + 3  # of DensityFeatures
    assert names["gnn"].predict(toy.structures).shape == (40,)
