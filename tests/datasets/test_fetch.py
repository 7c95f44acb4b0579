import gzip
import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from skuae import UAETransformer
from skuae.datasets import _jarvis, _matbench, fetch_jarvis, fetch_matbench, make_toy_crystals

N = 30


@pytest.fixture
def matbench(server, folder, monkeypatch):
    """Put up a small file in place of each task; returns its structures and targets."""
    structures = list(make_toy_crystals(n_samples=N, random_state=0).structures)
    target = np.linspace(-1, 1, N)

    def put(task, target=target, index=None):
        table = {
            "index": list(range(N)) if index is None else index,
            "columns": ["structure", "label"],
            "data": [[s.as_dict(), t] for s, t in zip(structures, target.tolist(), strict=True)],
        }
        body = gzip.compress(json.dumps(table).encode())
        server.answers[f"/matbench_{task}.json.gz"] = {"body": body}
        facts = _matbench._TASKS[task]
        facts = facts._replace(sha256=hashlib.sha256(body).hexdigest(), n_rows=N)
        monkeypatch.setitem(_matbench._TASKS, task, facts)
        return structures, target

    monkeypatch.setattr(_matbench, "_URL", f"{server.url}/{{}}")
    return put


def test_matbench_regression(matbench, server):
    structures, target = matbench("perovskites")
    for asked in ("perovskites", "matbench_perovskites"):
        data = fetch_matbench(asked)
        assert data.target_names == ["e_form"] and list(data.labels) == ["e_form"]
        np.testing.assert_array_equal(data.target, target)
        assert data.ids[0] == "mb-perovskites-01" and data.ids[-1] == "mb-perovskites-30"
        assert data.structures[7] == structures[7]
        expected = KFold(5, shuffle=True, random_state=18012019).split(target)
        for (train, test), (train_, test_) in zip(data.folds, expected, strict=True):
            np.testing.assert_array_equal(train, train_)
            np.testing.assert_array_equal(test, test_)
        for needed in ("matbench_perovskites", "eV per cell", "Castelli", "10.1038/s41524-020"):
            assert needed in data.DESCR
        server.close()  # what follows has no network


def test_matbench_classes_and_strata(matbench):
    metal = np.arange(N) % 3 == 0
    matbench("mp_is_metal", metal)
    data = fetch_matbench("mp_is_metal")
    assert data.target.dtype == bool
    assert data.ids[0] == "mb-mp-is-metal-01"
    expected = StratifiedKFold(5, shuffle=True, random_state=18012019).split(metal, metal)
    for (_, test), (_, test_) in zip(data.folds, expected, strict=True):
        np.testing.assert_array_equal(test, test_)
        assert metal[test].sum() == 2


def test_matbench_loads_like_the_other_sets(matbench):
    matbench("phonons")
    X, y = fetch_matbench("phonons", return_X_y=True, as_frame=True)
    assert X.shape == (N, 1) and y.name == "last phdos peak" and y.index.equals(X.index)
    data = fetch_matbench("phonons")
    assert list(data.frame.columns) == ["structure", "last phdos peak"]
    features = UAETransformer("onehot").fit_transform(data.structures)
    assert len(cross_val_score(DummyRegressor(), features, data.target, cv=data.folds)) == 5


def test_matbench_with_rows_missing_is_refused(matbench, monkeypatch):
    matbench("jdft2d")
    facts = _matbench._TASKS["jdft2d"]
    monkeypatch.setitem(_matbench._TASKS, "jdft2d", facts._replace(n_rows=N + 1))
    with pytest.raises(ValueError, match="has 30 rows, expected 31"):
        fetch_matbench("jdft2d")


def test_matbench_another_file_is_refused(matbench, server, folder):
    matbench("dielectric")
    server.answers["/matbench_dielectric.json.gz"] = {"body": b"another one"}
    with pytest.raises(ConnectionError, match="does not match the known hash"):
        fetch_matbench("dielectric")
    assert list(folder.iterdir()) == []


def test_matbench_facts():
    assert len(_matbench._TASKS) == 9
    for facts in _matbench._TASKS.values():
        assert len(facts.sha256) == 64 and int(facts.sha256, 16)
    with pytest.raises(ValueError, match=r"task='steels' must be one of dielectric, jdft2d"):
        fetch_matbench("steels")
    with pytest.raises(ValueError, match=r"task=None must be one of dielectric, jdft2d"):
        fetch_matbench(None)


def put_jarvis(server, records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jdft_3d-8-18-2021.json", json.dumps(records))
    server.answers["/29204826"] = {"body": buffer.getvalue()}


@pytest.fixture
def jarvis(server, folder, monkeypatch):
    """Put up a small database in place of dft_3d_2021; returns its records."""
    crystals = make_toy_crystals(n_samples=4, random_state=0).structures
    records = [
        {
            "jid": jid,
            "id": 17,
            "atoms": {
                "lattice_mat": s.lattice.matrix.tolist(),
                "coords": s.frac_coords.tolist(),
                "elements": [site.specie.symbol for site in s],
                "cartesian": False,
            },
            "formation_energy_peratom": energy,
            "mbj_bandgap": gap,
            "formula": "NaN",
            "elastic_tensor": tensor,
            "spg_number": 225,
            "spg": "001",
            "magnetic": None if tensor == "na" else True,
        }
        for s, jid, energy, gap, tensor in zip(
            crystals,
            ["JVASP-1", "JVASP-2", "JVASP-2", "JVASP-3"],
            [-0.1, -0.2, -0.3, 0.4],
            ["na", 1.5, "na", float("nan")],
            ["na", [[1.0]], "na", "na"],
            strict=True,
        )
    ]
    put_jarvis(server, records)
    monkeypatch.setattr(_jarvis, "_URLS", (f"{server.url}/gone/{{}}", f"{server.url}/{{}}"))
    return records


def test_jarvis(jarvis, server):
    for _ in range(2):
        data = fetch_jarvis("dft_3d_2021")
        assert list(data.ids) == ["JVASP-1", "JVASP-2", "JVASP-2", "JVASP-3"]
        np.testing.assert_array_equal(data.target, [-0.1, -0.2, -0.3, 0.4])
        assert sorted(data.labels) == [
            "formation_energy_peratom", "formula", "magnetic", "mbj_bandgap", "spg", "spg_number",
        ]  # fmt: skip
        assert set(data.labels.formula) == {"NaN"} and set(data.labels.spg) == {"001"}
        assert [*map(str, data.labels.magnetic)] == ["nan", "True", "nan", "nan"]
        assert data.frame.shape == (4, 7)  # although an id occurs twice
        np.testing.assert_allclose(
            data.structures[1].lattice.matrix, jarvis[1]["atoms"]["lattice_mat"]
        )
        for needed in ("2021-08-18", "29204826", "10.1038/s41524-020-00440-1"):
            assert needed in data.DESCR
        server.close()


def test_jarvis_target(jarvis):
    with pytest.warns(UserWarning, match="unknown labels: 3 in 'mbj_bandgap', of 4 rows"):
        _, y = fetch_jarvis("dft_3d_2021", target="mbj_bandgap", return_X_y=True)
    np.testing.assert_array_equal(y, [np.nan, 1.5, np.nan, np.nan])
    with pytest.raises(ValueError, match="target='gap' must be one or several of"):
        fetch_jarvis("dft_3d_2021", target="gap")
    frame = fetch_jarvis("dft_3d_2021", target=["spg_number", "formula"], as_frame=True).target
    assert isinstance(frame, pd.DataFrame) and frame.shape == (4, 2)


def test_jarvis_turned_away(jarvis, server, folder):
    server.answers["/29204826"] = {"status": 202}
    with pytest.raises(ConnectionError, match=r"empty; a browser may be let through") as error:
        fetch_jarvis("dft_3d_2021")
    assert str(folder / "jdft_3d-8-18-2021.json.zip") in str(error.value)
    with pytest.raises(ValueError, match="name='dft_4d' must be one of dft_3d, dft_3d_2021"):
        fetch_jarvis("dft_4d")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ([], "it holds no records"),
        ({"message": "gone"}, "no JSON as expected"),
        (["gone"], "AttributeError"),
        ([{"jid": "JVASP-1"}], "KeyError: 'atoms'"),
        ([{"atoms": None}], "TypeError"),
    ],
)
def test_jarvis_another_file_is_named(other, reason, jarvis, server, folder):
    put_jarvis(server, other)
    path = folder / "jdft_3d-8-18-2021.json.zip"
    for _ in range(2):
        with pytest.raises(ValueError, match=f"is not what was published .*{reason}") as error:
            fetch_jarvis("dft_3d_2021")
        assert f"{path} is" in str(error.value) and "delete it and call" in str(error.value)
    path.unlink()
    put_jarvis(server, jarvis)
    assert len(fetch_jarvis("dft_3d_2021").structures) == 4


def test_jarvis_a_record_without_a_name_is_named(jarvis, server):
    del jarvis[2]["jid"], jarvis[2]["id"]
    put_jarvis(server, jarvis)
    with pytest.raises(ValueError, match=r"json.zip .*record 2 has neither jid nor id"):
        fetch_jarvis("dft_3d_2021")
