"""The model for a few hundred labels, as one object."""

from numbers import Integral
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import HuberRegressor, LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from skuae._hub import shipped_first
from skuae.datasets import FormulaKFold, StratifiedFormulaKFold
from skuae.embedding import UAETransformer
from skuae.estimators import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalStackingClassifier,
    CrystalStackingRegressor,
    load_pretrained,
    unwrapped,
)
from skuae.featurizers import BackboneTransformer, SymmetryTransformer
from skuae.pipelines._blend import AbsoluteErrorBlend
from skuae.pipelines._gp import ActivationGPClassifier, ActivationGPRegressor

_KINDS = ("regressor", "classifier")


def crystal_pipeline(
    kind: str = "regressor",
    n_labels: int | None = None,
    *,
    model: Any = "mp",
    random_state: int | None = None,
    n_jobs: int | None = None,
    device: Any = "auto",
    verbose: int = 0,
) -> BaseEstimator:
    """Make the model to try first on a few hundred labelled crystals.

    It combines models of different kinds, which make different errors:

    - ``"gp"``: a Gaussian process on the activations of a network. It carries over what the network
      learned from many other crystals, and it fits in seconds.
    - ``"outputs"``: a linear model on what that network predicts. It is the best part where the
      network knows the property itself, or one that goes with it.
    - ``"tuned"``: that network itself, trained on with a small learning rate. It was the best part
      for gaps and moduli with a network that had not learned them. There is no such part for a
      `CrystalTransformerRegressor`.
    - ``"trees"``: CatBoost on statistics of elemental properties (magpie) and on symmetry,
      electrons, density and distances (`skuae.featurizers.SymmetryTransformer`).
    - ``"network"``: CGCNN on the element table ct-uae-mt, trained on the labels themselves. It sees
      the structure.

    How much each part counts is learned from its predictions on inner folds that keep crystals of
    one formula together: weights that are not negative and make the mean absolute error smallest,
    or for classes a logistic regression on their probabilities. A part that does not help gets a
    weight near 0. If labelled crystals are among those that the network of ``model`` was trained
    on, the parts that read it seem better than they are for new crystals, and get too much weight.

    Parameters
    ----------
    kind : {"regressor", "classifier"}, default="regressor"
    n_labels : int, optional
        About how many labels there will be. It sets the number of inner folds, thus of fits: 10
        below 200 labels (of a classifier at most a quarter of the labels), 3 above 2,000, else 5.
    model : estimator, Pipeline, str, path or None, default="mp"
        The network of ``"gp"``, ``"outputs"`` and ``"tuned"``, which was trained on many other
        crystals and perhaps on other properties: the name of one that ships with skuae, a fitted
        one, or the folder of a saved one; see `skuae.featurizers.BackboneTransformer`. If its
        training crystals include your test crystals, your test errors may be too small. None leaves
        these three parts out.
    random_state : int, optional
        Seeds all parts.
    n_jobs : int, optional
        How many fits run at a time, each in a process of its own; one by default.
    device : str or torch.device, default="auto"
        Where networks run.
    verbose : int, default=0
        1 shows progress bars of training and of features.

    Returns
    -------
    CrystalStackingRegressor or CrystalStackingClassifier
        Not fitted. The parts are its ``estimators``, and parameters of a search begin with their
        names: ``"network__max_epochs"``, ``"trees__catboost__depth"``,
        ``"gp__activations__layers"``. After `fit`, ``named_estimators_`` holds the parts, and
        ``final_estimator_.coef_`` of a regressor their weights.

    Raises
    ------
    ImportError
        Without catboost.
    ValueError
        If ``kind`` or ``n_labels`` makes no sense, or there is no such model. Other parameters are
        checked in `fit`.

    Examples
    --------
    >>> from skuae import crystal_pipeline
    >>> from skuae.datasets import FormulaKFold, make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=30, random_state=0)
    >>> model = crystal_pipeline("regressor", random_state=0)
    >>> model.set_params(cv=FormulaKFold(2), network__max_epochs=2, trees__catboost__iterations=20)
    CrystalStackingRegressor(...)
    >>> model.fit(toy.structures, toy.target).predict(toy.structures[:2]).shape
    (2,)
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}; got {kind!r}")
    if n_labels is not None and not (
        isinstance(n_labels, Integral) and not isinstance(n_labels, bool) and int(n_labels) >= 1
    ):
        raise ValueError(f"n_labels must be an integer, at least 1, or None; got {n_labels!r}")
    regresses = kind == "regressor"
    parts = [("trees", _trees(regresses, random_state))]
    network = CrystalGNNRegressor if regresses else CrystalGNNClassifier
    common = {"device": device, "verbose": verbose}
    parts.append(("network", network(embedding="ct-uae-mt", random_state=random_state, **common)))
    if model is not None:
        process = ActivationGPRegressor if regresses else ActivationGPClassifier
        line = _line() if regresses else LogisticRegression(max_iter=1000)
        gp = [
            ("activations", BackboneTransformer(model, **common)),
            ("process", process(random_state=random_state)),
        ]
        outputs = [
            ("predictions", BackboneTransformer(model, layers="output", **common)),
            ("line", line),
        ]
        tuned = _tuned(network, model, random_state=random_state, **common)
        parts = [("gp", Pipeline(gp)), ("outputs", Pipeline(outputs)), *tuned, *parts]
    n_folds = _n_folds(n_labels, regresses)
    if regresses:
        folds = FormulaKFold(n_folds)
        return CrystalStackingRegressor(parts, AbsoluteErrorBlend(), cv=folds, n_jobs=n_jobs)
    stratified = StratifiedFormulaKFold(n_folds)
    return CrystalStackingClassifier(parts, LogisticRegression(), cv=stratified, n_jobs=n_jobs)


def _tuned(kind: Any, model: Any, **common: Any) -> list[tuple[str, BaseEstimator]]:
    """Return the part that goes on training the network, none for a transformer of atoms."""
    if isinstance(model, (str, PathLike)):
        source, found = model, load_pretrained(shipped_first(model), device="cpu")
    else:
        source = found = unwrapped(model)
    if not isinstance(found, (CrystalGNNRegressor, CrystalGNNClassifier)):
        return []
    options = {"embedding_lr_ratio": 1.0, "lr": 1e-3, "batch_size": 32, "max_epochs": 20}
    tuned = kind(found.backbone, coords=found.coords, init_from=source, **options, **common)
    if kind is CrystalGNNRegressor:
        return [("tuned", tuned.set_params(loss="absolute_error"))]
    return [("tuned", tuned.set_params(early_stopping=False))]


def _line() -> BaseEstimator:
    """Return a linear model that few large errors do not pull, in any unit."""
    return TransformedTargetRegressor(
        HuberRegressor(max_iter=1000), transformer=StandardScaler(), check_inverse=False
    )  # the check warns of rounding where y is large


def _trees(regresses: bool, random_state: int | None) -> Pipeline:
    """Return CatBoost on features that need no network."""
    try:
        from catboost import CatBoostClassifier, CatBoostRegressor
    except ImportError as error:
        raise ImportError(
            'crystal_pipeline needs catboost: pip install "skuae[analysis]"'
        ) from error
    kind = CatBoostRegressor if regresses else CatBoostClassifier
    catboost = kind(random_seed=random_state, verbose=False, allow_writing_files=False)
    if regresses:  # the labels of a fold may all be equal: gaps of metals, say
        catboost.set_params(allow_const_label=True)
    # CatBoost reads NaN as a value of its own.
    magpie = UAETransformer("magpie", on_missing_element="nan")
    features = FeatureUnion([("magpie", magpie), ("symmetry", SymmetryTransformer())])
    return Pipeline([("features", features), ("catboost", catboost)])


def _n_folds(n_labels: int | None, regresses: bool) -> int:
    """Return the number of inner folds: more for few labels, whose fits take seconds."""
    if n_labels is None or 200 <= n_labels <= 2000:
        return 5
    most = n_labels if regresses else n_labels // 4  # each fold needs rows of each class
    return max(2, min(10, most)) if n_labels < 200 else 3
