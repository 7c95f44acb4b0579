"""The script that compares potentials, on springs and on a few small crystals."""

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from small_springs import TINY, potential

from skuae import as_crystals

FOLDER = Path(__file__).parents[1] / "benchmarks"
A, SPRING = 4.0, 3.0  # Å, eV/Å²
GPA = 160.21766  # of eV/Å³


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import compare_potentials

    return compare_potentials


class Springs:
    """Springs between nearest neighbours of a face-centred cubic crystal."""

    def _pulls(self, structure):
        rest = A / np.sqrt(2)
        centers, others, images, lengths = structure.get_neighbor_list(1.2 * rest)
        coords = structure.cart_coords
        vectors = coords[others] + images @ structure.lattice.matrix - coords[centers]
        return centers, vectors, SPRING * (1 - rest / lengths)[:, None] * vectors

    def predict_forces(self, structures):
        found = [np.zeros((len(one), 3)) for one in structures]
        for forces, structure in zip(found, structures, strict=True):
            centers, _, pulls = self._pulls(structure)
            np.add.at(forces, centers, pulls)
        return found

    def predict_stress(self, crystals):
        found = []
        for structure in crystals:
            _, vectors, pulls = self._pulls(structure)
            found.append(vectors.T @ pulls / 2 / structure.volume * GPA)
        return np.stack(found)

    def relax(self, structures, **_):
        return SimpleNamespace(crystals=as_crystals(structures))


def test_elastic_constants_of_springs(script):
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(A), ["Cu"], [[0, 0, 0]])
    found = script.elastic_constants(Springs(), cell, 0.001)
    known = 2 * SPRING / A * GPA
    assert found["C11 (GPa)"] == pytest.approx(known, rel=1e-3)
    assert found["C12 (GPa)"] == pytest.approx(known / 2, rel=1e-3)
    assert found["C44 (GPa)"] == pytest.approx(known / 2, rel=1e-3)


def test_frequencies_of_springs(script):
    pair = Structure(Lattice.tetragonal(A / np.sqrt(2), A), ["Cu"] * 2, [[0] * 3, [0.5] * 3])
    found, sum_rule = script.pair_frequencies(Springs(), pair)
    mass = 63.546 * 1.66053907e-27
    known = np.sqrt(np.array([4, 4, 8]) * SPRING * 16.0217663 / mass) / (2e12 * np.pi)
    np.testing.assert_allclose(found, known, rtol=1e-4)
    assert sum_rule == pytest.approx(0, abs=1e-9)


@pytest.fixture
def data(tmp_path):
    """Write a few rows in the layout of mlearn; returns the folder."""
    rng = np.random.default_rng(0)
    rows = []
    for element, number in (("Li", 3), ("Si", 14)):
        for i in range(9):
            coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]]) + rng.normal(0, 0.02, (2, 3))
            rows.append({
                "id": f"mlearn-{element}-{i:04d}",
                "split": "test" if i > 6 else "train",
                "lattice": (3.4 * np.eye(3)).tolist(),
                "atomic_numbers": [number] * 2,
                "frac_coords": coords.tolist(),
                "energy": -2.0 * number + i,
                "forces": rng.standard_normal((2, 3)).tolist(),
                "virial_stress": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
            })  # fmt: skip
    with gzip.open(tmp_path / "mlearn_potential.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


def test_labels_of_mlearn(script, data):
    X, y = script.read_mlearn(data, "Si", "train")
    assert len(X) == len(y) == 7 and y["energy"].tolist() == [-28.0 + i for i in range(7)]
    np.testing.assert_allclose(y["stress"][0], [[-1, -4, -6], [-4, -2, -5], [-6, -5, -3]])
    assert len(script.read_mlearn(data, "Li", "train", 3)[0]) == 3


def test_tables_are_controls(script):
    table, random, shuffled = (script.make_table(n, 0) for n in script.TABLES[1:])
    assert script.make_table("native", 0) is None
    assert random.values.shape == shuffled.values.shape == table.values.shape
    for element in script.LEADERBOARD:
        assert (table[element] != shuffled[element]).any()
    assert np.nanstd(random.values) == pytest.approx(np.nanstd(table.values), rel=0.05)
    np.testing.assert_array_equal(random["Si"], script.make_table("random", 0)["Si"])


def test_runs_are_done_once(script, data, tmp_path, monkeypatch, capsys):
    labels = [{"energy": -3.0, "forces": np.zeros((2, 3)), "stress": np.zeros((3, 3))}] * 14
    X = as_crystals([*script.read_mlearn(data, "Li", "train")[0],
                     *script.read_mlearn(data, "Si", "train")[0]])  # fmt: skip
    start = str(tmp_path / "start")
    potential(max_epochs=1, device="cpu").fit(X, labels).save_pretrained(start)
    monkeypatch.setattr(script, "PUBLISHED", start)
    monkeypatch.setattr(script, "OLDER", start)
    monkeypatch.setattr(script, "MEASURED", {})
    output = tmp_path / "results.csv"
    options = ["--data", str(data), "--elements", "Li", "Si", "--epochs", "1", "--seeds", "0"]
    options += ["--output", str(output), "--checkpoints", str(tmp_path / "fits")]
    monkeypatch.setattr(sys, "argv", ["compare_potentials.py", *options])
    monkeypatch.setattr(script, "CHGNet", lambda: TINY)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--only", *script.RUNS])
    script.main()
    results = pd.read_csv(output)
    runs = results.groupby("run")["model"].nunique()
    assert runs.to_dict() == {"zero-shot": 2, "own": 2, "tables": 8}
    constant = results[(results["model"] == "constant") & (results["case"] == "Li")]
    constant = constant.set_index("quantity")["value"]
    # the mean of rows 0 to 6 is 3 above that of the first, and test rows are 7 and 8
    assert constant[script.ENERGY] == pytest.approx(1000 * (7.5 - 3) / 2)
    assert constant[script.SLOPE] == 0
    content = output.read_bytes()
    monkeypatch.setattr(script, "_fit_and_score", None)  # all is done
    script.main()
    assert output.read_bytes() == content
    capsys.readouterr()
    script.report(output)
    shown = capsys.readouterr().out
    assert "leaderboard" in shown and "GAP forces" in shown and "shuffled, frozen" in shown
