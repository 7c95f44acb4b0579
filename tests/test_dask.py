"""Recipes of the page "Large data": partitions of dask, without a wrapper."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from small_backbones import SMALL

from skuae import CrystalGNNRegressor, Crystals, UAETransformer, as_crystals
from skuae.datasets import make_toy_crystals
from skuae.estimators import load_pretrained, predict_frame

dask = pytest.importorskip("dask")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def toy():
    return make_toy_crystals(24, target="electronegativity", random_state=0)


@pytest.fixture(scope="module")
def saved(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model = CrystalGNNRegressor(SMALL["cgcnn"], max_epochs=2, random_state=0, device="cpu")
    model.fit(toy.structures, toy.target).save_pretrained(folder)
    return folder


@pytest.fixture
def cells(toy):
    cells = [structure.to(fmt="cif") for structure in toy.structures]
    cells[9] = "data_nothing"
    return pd.DataFrame({"cif": cells}, [f"c{i}" for i in range(24)])


def check(table, saved, cells):
    expected = predict_frame(load_pretrained(saved), cells["cif"])
    assert table["error"].notna().tolist() == [i == 9 for i in range(24)]
    assert expected["error"].notna().tolist() == [i == 9 for i in range(24)]
    found = table["target_predicted"].to_numpy(float)
    np.testing.assert_allclose(found, expected["target_predicted"], rtol=1e-4)


def test_partitions_of_a_data_frame(saved, cells, tmp_path):
    import dask.dataframe as dd

    for i in range(3):
        cells[8 * i : 8 * i + 8].to_parquet(tmp_path / f"in-{i}.parquet")
    frame = dd.read_parquet(str(tmp_path / "in-*.parquet"))
    model = dask.delayed(load_pretrained)(str(saved))  # once, not for each partition
    meta = predict_frame(load_pretrained(saved), frame["cif"].head(1)).iloc[:0]
    table = frame["cif"].map_partitions(lambda cif, model: predict_frame(model, cif), model,
                                        meta=meta)  # fmt: skip
    with dask.config.set(scheduler="synchronous"):
        table.to_parquet(tmp_path / "out", schema={"error": "string"})
    found = pd.read_parquet(tmp_path / "out")
    assert found.index.tolist() == cells.index.tolist()
    check(found, saved, cells)


def test_partitions_of_a_bag(saved, cells):
    import dask.bag as db

    def predict(rows, model):
        return predict_frame(model, list(rows)).to_dict("records")

    bag = db.from_sequence(cells["cif"].tolist(), npartitions=3)
    model = dask.delayed(load_pretrained)(str(saved))
    rows = bag.map_partitions(predict, model).compute(scheduler="synchronous")
    check(pd.DataFrame(rows), saved, cells)


def test_features_of_partitions(cells):
    import dask.dataframe as dd

    uae = UAETransformer("magpie")
    columns = [*uae.feature_labels(), "error"]

    def featurize(cif):
        rows = uae.featurize_many(cif, ignore_errors=True, return_errors=True, pbar=False)
        return pd.DataFrame(rows, cif.index, columns).astype({"error": object})

    frame = dd.from_pandas(cells, npartitions=3, sort=False)
    meta = featurize(cells["cif"][:1]).iloc[:0]
    table = frame["cif"].map_partitions(featurize, meta=meta).compute(scheduler="synchronous")
    good = cells["cif"].drop("c9")
    expected = uae.fit_transform(good.tolist())
    np.testing.assert_allclose(table.loc[good.index, columns[:-1]].to_numpy(float), expected)
    assert table["error"].notna().tolist() == [i == 9 for i in range(24)]


@pytest.mark.slow
def test_searches_run_on_workers_of_dask(toy, monkeypatch):
    import joblib
    from distributed import Client, LocalCluster

    crystals, sent = as_crystals(toy.structures), []
    real = Crystals.__reduce_ex__

    def note(self, protocol):
        sent.append(len(self))
        return real(self, protocol)

    def search():
        model = CrystalGNNRegressor(SMALL["cgcnn"], max_epochs=2, random_state=0, device="cpu")
        grid = {"lr": [0.001, 0.003, 0.01]}
        return GridSearchCV(model, grid, cv=2).fit(crystals, toy.target).cv_results_

    expected = search()["mean_test_score"]
    monkeypatch.setattr(Crystals, "__reduce_ex__", note)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        with Client(cluster), joblib.parallel_config("dask", scatter=[crystals]):
            found = search()["mean_test_score"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(sent) < 6  # not once for each of six fits
