"""The documentation builds without warnings, and its code runs."""

import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skuae import CrystalGNNRegressor, UAETransformer, as_crystals
from skuae.datasets import make_toy_crystals, read_file
from skuae.embedding import get_table
from skuae.estimators import load_pretrained

ROOT = Path(__file__).parents[1]
EXAMPLES = [path.stem for path in (ROOT / "examples").glob("plot_*.py")]
# What builds write among the sources; each build here starts from none of it, but for the output
# of the examples, which is part of the repository.
WRITTEN = ("_build", "generated", "sg_execution_times.rst")


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path):
    for folder in ("docs", "examples"):
        ignore = shutil.ignore_patterns(*WRITTEN)
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    for file in ("CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, tmp_path)
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
    pages = {name: built / f"auto_examples/{name}.html" for name in EXAMPLES}
    shown = {name: page.read_text(encoding="utf-8") for name, page in pages.items()}
    stale = [name for name, text in shown.items() if f"sphx_glr_{name}_001.png" not in text]
    assert stale == []  # run python -m sphinx docs docs/_build and commit docs/auto_examples


def test_all_pages_are_in_the_table_of_contents():
    pages, found = {page.stem for page in (ROOT / "docs").glob("*.md")}, ["index"]
    for page in found:  # grows on the way
        if page in pages:
            text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
            for toctree in re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL):
                found += [line for line in toctree.split() if not line.startswith(":")]
    assert pages <= set(found)
    assert len(found) == len(set(found))


def test_pages_of_the_reference_have_examples():
    pages = (ROOT / "docs").glob("api_*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    names = re.findall(r"^   ([A-Za-z][\w.]*)$", text, flags=re.MULTILINE)
    assert len(names) == len(set(names)) > 50
    docs = {name: inspect.getdoc(pkgutil.resolve_name(f"skuae.{name}")) for name in names}
    assert [name for name, doc in docs.items() if "\nExamples\n---" not in doc] == []


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


def test_the_tutorial_of_a_folder_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = make_toy_crystals(12, random_state=0)
    for folder in ("my_folder", "new_crystals"):
        (tmp_path / folder).mkdir()
        for i, structure in enumerate(toy.structures):
            structure.to(filename=str(tmp_path / folder / f"c{i}.cif"))
    rows = [f"c{i},{y}" for i, y in enumerate(toy.target)]
    (tmp_path / "my_folder/id_prop.csv").write_text("\n".join(["id,band_gap", *rows]))
    text = (ROOT / "docs/folder_of_files.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    df = pd.DataFrame({"structure": list(toy.structures), "band_gap": toy.target})
    names = {"df": df}
    for block in blocks:
        block = block.replace("random_state=0, verbose=1", "random_state=0, max_epochs=2")
        exec(compile(block.replace("n_jobs=-1", "n_jobs=1"), "folder_of_files.md", "exec"), names)
    assert load_pretrained("my_model").target_units_ == ["eV"]
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 13
    table = read_file("my_data.csv", target="band_gap")
    assert [s.formula for s in table.structures] == [s.formula for s in toy.structures]
    np.testing.assert_array_equal(table.target, toy.target)


COMMON_ERRORS = re.findall(
    r"^Message: `(.*?)`\n\n```\{code-block\} python\n:caption: raises the error\n\n(.*?)```",
    (ROOT / "docs/common_errors.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


def test_common_errors_are_found():
    text = (ROOT / "docs/common_errors.md").read_text(encoding="utf-8")
    assert len(COMMON_ERRORS) == text.count("\n## ") > 5


@pytest.fixture(scope="module")
def fitted():
    """Return the names that the page of common errors uses."""
    toy = make_toy_crystals(12, random_state=0)
    gnn = CrystalGNNRegressor(max_epochs=1, random_state=0).fit(toy.structures, toy.target)
    return {
        "CrystalGNNRegressor": CrystalGNNRegressor,
        "StandardScaler": StandardScaler,
        "UAETransformer": UAETransformer,
        "as_crystals": as_crystals,
        "data": toy,
        "gnn": gnn,
        "helium": Structure(Lattice.cubic(4.2), ["He"], [[0, 0, 0]]),
        "load_pretrained": load_pretrained,
        "make_pipeline": make_pipeline,
        "np": np,
        "structures": list(toy.structures),
        "y": toy.target,
    }


@pytest.mark.parametrize(("message", "block"), COMMON_ERRORS, ids=lambda text: text[:30])
def test_common_error_is_raised(message, block, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_folder").mkdir()
    with pytest.raises((TypeError, ValueError, OSError), match=re.escape(message)):
        exec(compile(block, "common_errors.md", "exec"), dict(fitted))
