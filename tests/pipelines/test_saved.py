"""Whole models in a folder: what is read predicts the same, and nothing is unpickled."""

import io
import json
import re
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
)
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    PowerTransformer,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.utils.validation import check_is_fitted

import skuae
from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalStackingRegressor,
    CrystalTransformerRegressor,
    CrystalVotingRegressor,
    UAETransformer,
)
from skuae._files import read_safetensors, write_safetensors
from skuae.datasets import FormulaKFold, make_toy_crystals
from skuae.embedding import get_table
from skuae.estimators import load_pretrained
from skuae.estimators._reading import FORMAT
from skuae.featurizers import BackboneTransformer, SymmetryTransformer
from skuae.pipelines import ActivationGPClassifier, ActivationGPRegressor

X, Y = make_toy_crystals(16, random_state=0, return_X_y=True)
Y = Y - Y.min() + 1
FRAME = get_table("magpie").to_frame()


def network(**options):
    return CrystalGNNRegressor(max_epochs=1, random_state=0, **options)


def behind(*steps):
    return make_pipeline(UAETransformer("magpie"), *steps)


class TestBare:
    """A network alone needs no skops."""

    def test_is_saved_as_by_save_pretrained(self, tmp_path):
        model = network().fit(X, Y)
        skuae.save(model, tmp_path, units=["eV"], scores={"MAE": 0.25}, trained_on=X)
        for read in (skuae.load(tmp_path, device="cpu"), load_pretrained(tmp_path)):
            np.testing.assert_array_equal(read.predict(X), model.predict(X))
            assert read.target_units_ == ["eV"]
        card = (tmp_path / "README.md").read_text()
        assert "| MAE | 0.25 |" in card and "16 crystals of" in card

    def test_what_is_not_fitted_is_refused(self, tmp_path):
        from sklearn.exceptions import NotFittedError

        with pytest.raises(NotFittedError):
            skuae.save(network(), tmp_path / "new")
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("scores", [{"MAE": np.nan}, {"MAE": "0.2"}])
    def test_scores_are_numbers(self, scores, tmp_path):
        with pytest.raises(ValueError, match="no finite number"):
            skuae.save(network().fit(X, Y), tmp_path, scores=scores)

    @pytest.mark.parametrize("folder", ["", "."])
    def test_a_readme_of_something_else_stays(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        readme = tmp_path / "README.md"
        readme.write_text("# My project")
        model = network().fit(X, Y)
        with pytest.raises(FileExistsError, match="not of a saved model, and is not replaced"):
            skuae.save(model, folder)
        assert [readme] == list(tmp_path.iterdir()) and readme.read_text() == "# My project"
        readme.unlink()
        for _ in range(2):  # the card of a model is replaced with it
            skuae.save(model, folder)

    def test_a_search_is_refused(self, tmp_path):
        search = GridSearchCV(network(), {"batch_size": [8]}, cv=2).fit(X, Y)
        with pytest.raises(TypeError, match="save its best_estimator_"):
            skuae.save(search, tmp_path)


MODELS = {
    "network": behind(network()),
    "forest": behind(StandardScaler(), RandomForestRegressor(5, random_state=0)),
    "boosting": behind(HistGradientBoostingRegressor(max_iter=5)),
    "svr": behind(StandardScaler(), SVR()),
    "neighbors": behind(KNeighborsRegressor(2)),
    "process": behind(StandardScaler(), GaussianProcessRegressor(RBF() + WhiteKernel())),
    "log": TransformedTargetRegressor(network(), func=np.log, inverse_func=np.exp),
    "log of a pipeline": TransformedTargetRegressor(
        behind(network()), func=np.log1p, inverse_func=np.expm1
    ),
    "scaled": TransformedTargetRegressor(network(), transformer=StandardScaler()),
    "power": TransformedTargetRegressor(behind(Ridge()), transformer=PowerTransformer()),
    "voting": CrystalVotingRegressor([("a", network()), ("b", behind(Ridge()))]),
    "voting of scikit-learn": VotingRegressor([("a", behind(Ridge())), ("b", behind(SVR()))]),
    "stacking": CrystalStackingRegressor(
        [("a", network()), ("b", behind(Ridge()))], Ridge(), cv=FormulaKFold(2)
    ),
    "frame": make_pipeline(UAETransformer(FRAME), Ridge()),
    "own table": network(embedding=get_table("magpie").standardize()),
    "learned table": make_pipeline(
        UAETransformer(CrystalTransformerRegressor(max_epochs=1, random_state=0)), Ridge()
    ),
    "layers": make_pipeline(BackboneTransformer(network().fit(X, Y)), Ridge()),
    "union": make_pipeline(
        make_union(UAETransformer("magpie"), SymmetryTransformer()), StandardScaler(), Ridge()
    ),
    "gaussian process on layers": make_pipeline(
        BackboneTransformer(network().fit(X, Y)), ActivationGPRegressor(random_state=0)
    ),
    "chosen": behind(SelectKBest(f_regression, k=5), Ridge()),
    "frozen": behind(FrozenEstimator(network().fit(X, Y))),
    "imputed": behind(SimpleImputer(), Ridge()),
    "ball tree": behind(KNeighborsRegressor(2, metric="manhattan", algorithm="ball_tree")),
    "folds": StackingRegressor(
        [("a", behind(Ridge()))],
        RidgeCV(cv=KFold(2)),
        cv=KFold(2, shuffle=True, random_state=np.random.RandomState(0)),
    ),
    "function": behind(FunctionTransformer(np.tanh), Ridge()),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_predicts_the_same(name, tmp_path):
    pytest.importorskip("skops.io")
    model = MODELS[name].fit(X, Y)
    before = model.predict(X)
    skuae.save(model, tmp_path)
    np.testing.assert_array_equal(model.predict(X), before)  # saving changes nothing
    read = skuae.load(tmp_path, device="cpu")
    assert type(read) is type(model)
    np.testing.assert_array_equal(read.predict(X), before)
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "README.md"}
    assert re.search(rf"^# {type(model).__name__}$", (tmp_path / "README.md").read_text(), re.M)


def test_classifiers(tmp_path):
    pytest.importorskip("skops.io")
    labels = np.where(np.median(Y) < Y, "large", "small")
    gnn = CrystalGNNClassifier(max_epochs=1, random_state=0)
    models = [
        behind(LogisticRegression()),
        behind(gnn),
        CalibratedClassifierCV(gnn, cv=2),
        CalibratedClassifierCV(
            behind(LogisticRegression()), method="temperature", cv=StratifiedKFold(2, shuffle=True)
        ),
        behind(StandardScaler(), ActivationGPClassifier(random_state=0)),
    ]
    for model in models:
        model.fit(list(X), labels)
        skuae.save(model, tmp_path)
        read = skuae.load(tmp_path)
        np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
        assert read.classes_.tolist() == ["large", "small"]
        card = (tmp_path / "README.md").read_text()
        assert "pipeline_tag: tabular-classification" in card and "- Classes: large, small" in card


def test_parts_that_are_one_stay_one(tmp_path):
    pytest.importorskip("skops.io")
    voting = MODELS["voting"].fit(X, Y)
    skuae.save(voting, tmp_path)
    read = skuae.load(tmp_path)
    assert read.named_estimators_["a"] is read.estimators_[0]
    mean, std = read.predict(X, return_std=True)
    np.testing.assert_array_equal((mean, std), voting.predict(X, return_std=True))
    check_is_fitted(read.estimators_[0])
    assert not hasattr(read.estimators[0][1], "net_")  # the parameter is as it was


def test_the_card(tmp_path):
    pytest.importorskip("skops.io")
    model = TransformedTargetRegressor(behind(network()), func=np.log, inverse_func=np.exp)
    model.fit(X, Y)
    skuae.save(
        model,
        tmp_path,
        units={"K<VRH>": "GPa"},
        license="cc-by-4.0",
        notes="Made *here*.",
        scores={"MAE (GPa)": 12.5},
        trained_on=pd.Series(["NaCl", "Na2Cl2", "KCl"]),
    )
    card = (tmp_path / "README.md").read_text()
    for said in (
        'license: "cc-by-4.0"',
        "- Targets: K&lt;VRH&gt; (GPa)",
        "- Predictions: exp, applied to the output of Pipeline",
        "Made *here*.",
        "| MAE (GPa) | 12.5 |",
        "3 crystals of 2 formulas: KCl, NaCl.",
        'skuae.load("path/of/this/folder")',
    ):
        assert said in card
    for units in ("GPa", 5, [5]):
        with pytest.raises(ValueError, match="units must be texts"):
            skuae.save(model, tmp_path, units=units)
    with pytest.raises(ValueError, match="scores must be a dict"):
        skuae.save(model, tmp_path, scores=[1.5])
    skuae.save(behind(network()).fit(X, pd.Series(Y, name="gap")), tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "- Targets: gap" in card and "- Element tables: magpie" in card


def test_targets_of_the_card_are_those_of_the_model(tmp_path):
    pytest.importorskip("skops.io")
    large = network().fit(X, pd.Series(Y, name="formation energy"))
    model = make_pipeline(BackboneTransformer(large), Ridge()).fit(X, pd.Series(Y, name="gap"))
    skuae.save(model, tmp_path)
    assert "- Targets" not in (tmp_path / "README.md").read_text()  # Ridge keeps no names
    skuae.save(make_pipeline(behind(large)), tmp_path)
    assert "- Targets: formation energy" in (tmp_path / "README.md").read_text()


def test_units_are_those_of_the_network_that_predicts(tmp_path):
    pytest.importorskip("skops.io")
    model = make_pipeline(behind(network())).fit(X, pd.Series(Y, name="gap"))
    for units, message in (
        ({"gapp": "eV"}, "units has 'gapp'"),
        (["eV", "K"], "2 entries for 1 targets"),
    ):
        with pytest.raises(ValueError, match=message):
            skuae.save(model, tmp_path / "new", units=units)
        assert not (tmp_path / "new").exists()
    skuae.save(model, tmp_path, units={"gap": "eV"})
    assert skuae.load(tmp_path)[-1][-1].target_units_ == ["eV"]
    log = TransformedTargetRegressor(network(), func=np.log, inverse_func=np.exp).fit(X, Y)
    skuae.save(log, tmp_path, units=["GPa"])
    assert skuae.load(tmp_path).regressor_.target_units_ is None  # it predicts logarithms


def test_columns_are_chosen_by_type(tmp_path):
    pytest.importorskip("skops.io")
    frame = pd.DataFrame({"structure": X, "pressure": Y})
    numbers = make_column_selector(dtype_include=np.number)
    chosen = ColumnTransformer(
        [("elements", UAETransformer("magpie"), "structure"), ("numbers", "passthrough", numbers)]
    )
    model = make_pipeline(chosen, Ridge()).fit(frame, Y)
    skuae.save(model, tmp_path)
    read = skuae.load(tmp_path)
    np.testing.assert_array_equal(read.predict(frame), model.predict(frame))
    np.testing.assert_array_equal(read.fit(frame, Y).predict(frame), model.predict(frame))


@pytest.mark.parametrize("model", [behind(Ridge()), behind(network())])
def test_a_device_that_is_not_there_is_no_fault_of_the_file(model, tmp_path):
    pytest.importorskip("skops.io")
    skuae.save(model.fit(X, Y), tmp_path)
    with pytest.raises(ValueError, match=r"^device must be"):
        skuae.load(tmp_path, device="abacus")


def _own(values):
    return values


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (TransformedTargetRegressor(behind(Ridge()), func=_own, inverse_func=_own), "_own"),
        (TransformedTargetRegressor(network(), func=_own, inverse_func=_own), "_own"),
        (behind(FunctionTransformer(lambda x: x), Ridge()), "lambda"),
        (make_pipeline(FunctionTransformer(_own), network()), "_own"),
    ],
)
def test_functions_of_your_own_are_refused_by_name(model, message, tmp_path):
    pytest.importorskip("skops.io")
    model.fit(X, Y)
    with pytest.raises(TypeError, match=rf"{message}.*functions of numpy"):
        skuae.save(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_load_pretrained_names_load(tmp_path):
    pytest.importorskip("skops.io")
    skuae.save(behind(Ridge()).fit(X, Y), tmp_path)
    with pytest.raises(ValueError, match=r"holds a 'Pipeline' .*skuae.load"):
        load_pretrained(tmp_path)


class TestForgedFiles:
    """Their checksum is right: somebody wrote them so."""

    @pytest.fixture
    def saved(self, tmp_path):
        pytest.importorskip("skops.io")
        skuae.save(behind(network()).fit(X, Y), tmp_path)
        tensors, card = read_safetensors(tmp_path / "model.safetensors", format=FORMAT)

        def write(tensors=tensors, card=card):
            path = tmp_path / "model.safetensors"
            write_safetensors(path, tensors, card, format=FORMAT)
            return tmp_path

        return tensors, card, write

    @staticmethod
    def rewritten(tensors, change=None, compression=zipfile.ZIP_STORED):
        """Return the arrays with another schema of skops."""
        new = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(tensors["scikit-learn"].tobytes())) as old,
            zipfile.ZipFile(new, "w", compression) as archive,
        ):
            for name in old.namelist():
                content = old.read(name)
                if name == "schema.json" and change is not None:
                    content = change(content.decode()).encode()
                archive.writestr(name, content)
        return tensors | {"scikit-learn": np.frombuffer(new.getvalue(), dtype=np.uint8)}

    def test_other_classes_are_not_made(self, saved):
        tensors, _, write = saved

        def change(schema):
            content = json.loads(schema)
            content |= {"__class__": "Popen", "__module__": "subprocess"}
            return json.dumps(content)

        with pytest.raises(ValueError, match=r"asks for subprocess.Popen, which skuae does not"):
            skuae.load(write(self.rewritten(tensors, change)))

    def test_compressed_content_is_refused(self, saved):
        tensors, _, write = saved
        with pytest.raises(ValueError, match="might expand without end"):
            skuae.load(write(self.rewritten(tensors, compression=zipfile.ZIP_DEFLATED)))

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors, card: tensors.pop("scikit-learn"),
            lambda tensors, card: card["parts"].pop(),
            lambda tensors, card: card.update(parts={}),
            lambda tensors, card: card.update(parts=[5, 6, 7]),
            lambda tensors, card: card.update({"class": "Ridge"}),
            lambda tensors, card: card["parts"].append({"estimator": {"class": "Popen"}}),
            lambda tensors, card: card["parts"].append({"estimator": {}}),
            lambda tensors, card: tensors.update({"0.values": np.zeros(3)}),
            lambda tensors, card: tensors.update({"17.values": np.zeros(3)}),
            lambda tensors, card: tensors.update({"scikit-learn": np.zeros(9, np.uint8)}),
        ],
    )
    def test_what_does_not_fit_is_named(self, change, saved):
        tensors, card, write = saved
        change(tensors, card)
        folder = write(tensors, card)
        with pytest.raises(ValueError, match=re.escape(str(folder))):
            skuae.load(folder)


def test_skops_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r"pip install \"skuae\[save\]\""):
        skuae.save(behind(Ridge()).fit(X, Y), tmp_path)
