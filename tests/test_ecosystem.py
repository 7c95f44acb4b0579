"""Libraries that people use skuae with; each test is skipped where its library is missing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNRegressor, UAETransformer, as_crystals
from skuae.datasets import make_toy_crystals

pytestmark = pytest.mark.slow
X, Y = make_toy_crystals(40, random_state=0, return_X_y=True)
NAMES = list(UAETransformer("magpie").feature_labels())


def network(**options):
    return CrystalGNNRegressor(max_epochs=2, random_state=0, **options)


def named(*steps):
    """Return a pipeline whose features have names."""
    return make_pipeline(UAETransformer("magpie").set_output(transform="pandas"), *steps)


def assert_learns(model):
    """Check that a model of features beats the mean on rows that it has not seen."""
    errors = abs(cross_val_predict(model, X, Y, cv=4) - Y)
    assert errors.mean() < 0.8 * abs(Y - Y.mean()).mean()


class TestTrees:
    def test_lightgbm(self):
        lightgbm = pytest.importorskip("lightgbm")
        model = named(lightgbm.LGBMRegressor(n_estimators=50, min_child_samples=3, verbose=-1))
        assert_learns(model)
        booster = model.fit(X, Y)[-1].booster_
        assert booster.feature_name() == [name.replace(" ", "_") for name in NAMES]

    def test_xgboost(self):
        xgboost = pytest.importorskip("xgboost")
        model = named(xgboost.XGBRegressor(n_estimators=50))
        assert_learns(model)
        assert model.fit(X, Y)[-1].get_booster().feature_names == NAMES

    def test_catboost(self):
        catboost = pytest.importorskip("catboost")
        options = {"verbose": False, "allow_writing_files": False, "random_seed": 0}
        model = named(catboost.CatBoostRegressor(iterations=100, **options))
        assert_learns(model)
        assert model.fit(X, Y)[-1].feature_names_ == NAMES

    def test_arrays_do_as_well(self):
        """Without names, the features of UAETransformer are an array like any other."""
        xgboost = pytest.importorskip("xgboost")
        plain = make_pipeline(UAETransformer("magpie"), xgboost.XGBRegressor(n_estimators=20))
        names = named(xgboost.XGBRegressor(n_estimators=20)).fit(X, Y)
        np.testing.assert_array_equal(plain.fit(X, Y).predict(X), names.predict(X))


def test_shap_sees_the_names():
    shap = pytest.importorskip("shap")
    lightgbm = pytest.importorskip("lightgbm")
    model = named(lightgbm.LGBMRegressor(n_estimators=20, min_child_samples=3, verbose=-1))
    model.fit(X, Y)
    features = model[:-1].transform(X)
    found = shap.TreeExplainer(model[-1])(features)
    assert list(found.feature_names) == NAMES
    total = found.values.sum(axis=1) + found.base_values
    np.testing.assert_allclose(total, model.predict(X), rtol=1e-4, atol=1e-4)


def test_shap_explains_any_model_of_features():
    shap = pytest.importorskip("shap")
    from sklearn.linear_model import Ridge

    ridge = named(Ridge()).fit(X, Y)
    features = ridge[:-1].transform(X)
    explainer = shap.KernelExplainer(ridge[-1].predict, features.iloc[:5])
    values = explainer.shap_values(features.iloc[:2], nsamples=100, silent=True)
    assert values.shape == (2, len(NAMES))


def test_optuna_searches_and_prunes():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def error(trial):
        gnn = network(backbone=trial.suggest_categorical("backbone", ["cgcnn", "megnet"]))
        gnn.set_params(lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True))
        for fold in range(2):
            score = cross_val_score(gnn, X[fold::2], Y[fold::2], cv=2, scoring="r2").mean()
            trial.report(score, fold)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(0),
        pruner=optuna.pruners.ThresholdPruner(lower=1e6, n_warmup_steps=1),
    )  # fmt: skip
    study.optimize(error, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 2
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(error, n_trials=2)
    assert set(study.best_params) == {"backbone", "lr"} and np.isfinite(study.best_value)


def test_optuna_search_cv():
    optuna = pytest.importorskip("optuna")
    integration = pytest.importorskip("optuna_integration.sklearn")
    space = {"lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)}
    search = integration.OptunaSearchCV(network(), space, cv=2, n_trials=2, random_state=0)
    assert search.fit(X, Y).predict(X).shape == Y.shape


@pytest.fixture
def runs(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("mlflow.sklearn")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    yield lambda: mlflow.search_runs(search_all_experiments=True)
    mlflow.sklearn.autolog(disable=True)


def test_mlflow_logs_pipelines(runs):
    network().fit(X, Y)
    assert len(runs()) == 0  # autolog knows the estimators of scikit-learn only
    make_pipeline(network()).fit(X, Y)
    logged = runs()
    assert len(logged) == 1
    assert logged["params.crystalgnnregressor__max_epochs"].tolist() == ["2"]
    assert np.isfinite(logged["metrics.training_mean_absolute_error"]).all()


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from skorch.callbacks import TensorBoard
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        network(callbacks=[TensorBoard(writer, close_after_train=False)]).fit(X, Y)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert "Loss/train_loss" in events.Tags()["scalars"]
    assert len(events.Scalars("Loss/train_loss")) == 2


def test_mapie():
    mapie = pytest.importorskip("mapie.regression")
    model = mapie.SplitConformalRegressor(network(), confidence_level=0.8, prefit=False)
    model.fit(X[:20], Y[:20]).conformalize(X[20:], Y[20:])
    mean, intervals = model.predict_interval(X)
    low, high = intervals[:, :, 0].T
    assert ((low <= mean) & (mean <= high)).all()
    assert ((low <= Y) & (high >= Y))[20:].mean() >= 0.8


def test_skrub_reports_on_features_and_labels():
    skrub = pytest.importorskip("skrub")
    frame = UAETransformer("magpie", statistics=("mean",)).set_output(transform="pandas")
    table = frame.fit_transform(X).assign(target=Y)
    html = skrub.TableReport(table, verbose=0).html()
    assert "magpie_mean_AtomicWeight" in html and "target" in html
    data = make_toy_crystals(6, random_state=0, as_frame=True).frame
    assert "structure" in skrub.TableReport(data, verbose=0).html()


class TestPolars:
    STRUCTURES = list(X)  # noqa: RUF012

    def test_frames_of_structures(self):
        polars = pytest.importorskip("polars")
        texts = [structure.to_json() for structure in self.STRUCTURES]
        dicts = [structure.as_dict() for structure in self.STRUCTURES]
        columns = [
            polars.Series("structure", self.STRUCTURES, dtype=polars.Object),
            polars.Series("structure", texts),
            polars.Series("structure", dicts),
        ]
        for column in columns:
            for read in (as_crystals(column), as_crystals(column.to_frame())):
                np.testing.assert_array_equal(read.numbers, X.numbers)
                np.testing.assert_allclose(read.frac_coords, X.frac_coords, atol=1e-9)

    def test_cross_validation(self):
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame({"structure": [s.to_json() for s in self.STRUCTURES]})
        target = polars.DataFrame({"gap": Y})
        scores = cross_val_score(network(), frame, target, cv=2, scoring="r2")
        lists = cross_val_score(network(), self.STRUCTURES, Y[:, None], cv=2, scoring="r2")
        np.testing.assert_allclose(scores, lists)
        features = UAETransformer("magpie").set_output(transform="polars").fit_transform(frame)
        assert isinstance(features, polars.DataFrame) and features.columns == NAMES

    def test_names_of_targets(self):
        polars = pytest.importorskip("polars")
        gnn = network()
        for y, names in (
            (polars.DataFrame({"gap": Y, "volume": Y}), ["gap", "volume"]),
            (polars.Series("gap", Y), ["gap"]),
            (polars.Series(Y), None),
        ):
            assert gnn.fit(X, y).target_names_ == names

    def test_what_is_refused(self):
        polars = pytest.importorskip("polars")
        text = self.STRUCTURES[0].to_json()
        with pytest.raises(TypeError, match="row 1: the structure is missing"):
            as_crystals(polars.DataFrame({"structure": [text, None]}))
        with pytest.raises(TypeError, match=r"2 columns \(a, b\)"):
            as_crystals(polars.DataFrame({"a": [text], "b": [1]}))
        with pytest.raises(TypeError, match=r"LazyFrame; .*collect\(\)"):
            as_crystals(polars.DataFrame({"a": [text]}).lazy())


def test_parquet_read_by_pandas(tmp_path):
    pytest.importorskip("pyarrow")
    data = make_toy_crystals(4, random_state=0)
    cells = [s.as_dict() for s in data.structures]
    for cell in cells:
        del cell["properties"]  # parquet has no dicts without entries
        cell["sites"] = [{**site, "properties": None} for site in cell["sites"]]
    frame = pd.DataFrame({"structure": cells})
    frame.to_parquet(tmp_path / "a.parquet")
    read = as_crystals(pd.read_parquet(tmp_path / "a.parquet"))
    np.testing.assert_array_equal(read.numbers, data.structures.numbers)
