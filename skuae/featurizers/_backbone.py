"""Activations of a frozen network as features of crystals."""

import copy
from collections.abc import Callable
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skuae._hub import shipped_first
from skuae._progress import progress_bar, show_progress
from skuae.crystals import CrystalBatch, Crystals
from skuae.embedding import FeaturizerMixin, crystals_and_table
from skuae.estimators import CrystalEstimator, load_pretrained, unwrapped
from skuae.featurizers._model import KeepsModel, check_count, kept
from skuae.models import CrystalModule, backbone_name
from skuae.training import (
    CrystalDataset,
    CrystalLoader,
    FittedTask,
    Network,
    check_finite,
    library_defaults,
    outputs_of,
    resolve_device,
)


class BackboneTransformer(FeaturizerMixin, TransformerMixin, KeepsModel):
    """Features of crystals from the layers of a fitted network, which stays as it is.

    A network that was trained on many crystals knows much about others, also about properties that
    it was not trained on. With few labels, a simple model on its activations is often better than a
    network trained on these labels alone; `skuae.crystal_pipeline` makes such a model.

    Parameters
    ----------
    model : estimator, Pipeline that ends with one, str or path, default="mp"
        A fitted `CrystalGNNRegressor`, `CrystalGNNClassifier` or `CrystalTransformerRegressor`, the
        folder of a saved one, or the name of one that ships with skuae; see
        `skuae.pretrained.names`. Clones of this transformer keep the fitted model. A search clones
        its candidates: in the grid of a search, put fitted models into
        :class:`sklearn.frozen.FrozenEstimator`, or pass folders.
    layers : "all", str or sequence of str, default="all"
        The layers whose vectors are the features: all of them, or those of these names.
        ``"output"`` is what the network predicts: standardised targets, without their standard
        deviations, or logits of classes. ``"embed"`` is what its last layer reads. The others are
        the means over the sites of a crystal: ``"layer0"`` before the first update of the sites,
        ``"layer1"`` after it, and so on. MEGNet adds its vector of the crystal to these. A back-end
        of your own has ``"embed"`` and ``"output"`` if it does not hand out other layers.
    batch_size : int, default=64
        Crystals per step.
    device : str, torch.device or None, default=None
        Where the network runs. None: where the model is; "auto" and torch devices as in
        `CrystalGNNRegressor`.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : estimator
        The fitted model. Fitting `model` again does not change it.
    layer_widths_ : dict of str to int
        Number of features of each layer, in the order of the columns.
    n_features_out_ : int
        Number of features.

    See Also
    --------
    skuae.UAETransformer : Features from an element table; they need no structure.

    Notes
    -----
    Elements that the model has not seen are treated as in its `predict`. If its element table has
    vectors for them, as that of ``"mp"`` for most, features are guesses, and no warning says so.
    Features are float32.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.featurizers import BackboneTransformer
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(max_epochs=2, random_state=0).fit(toy.structures, toy.target)
    >>> features = BackboneTransformer(gnn, layers=["layer3", "embed"])
    >>> features.fit_transform(toy.structures).shape
    (16, 192)
    >>> features.get_feature_names_out()[:2]
    array(['cgcnn_layer3_0', 'cgcnn_layer3_1'], dtype=object)
    """

    def __init__(self, model="mp", layers="all", *, batch_size=64, device=None, verbose=0):
        self.model = model
        self.layers = layers
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the model and check the crystals; nothing is learned from them.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        y : ignored
            For scikit-learn.

        Returns
        -------
        self : object

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        TypeError
            If `model` is something else, or a row is not a structure.
        ValueError
            If a structure or a parameter makes no sense, or the model cannot treat an element.
        """
        with library_defaults():
            model, widths = self._resolve()
            crystals, _ = crystals_and_table(X)
            model.network_.check(crystals)
        self.model_, self.layer_widths_ = model, widths
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            One block of columns per layer.

        Raises
        ------
        ValueError
            If a structure makes no sense, or the model cannot treat an element.
        """
        check_is_fitted(self)
        with library_defaults():
            crystals, _ = crystals_and_table(X)
        return self._featurizer()(crystals)

    @property
    def n_features_out_(self) -> int:
        """Number of features."""
        if not hasattr(self, "layer_widths_"):
            raise AttributeError("n_features_out_ is there after fit")
        return sum(self.layer_widths_.values())

    # -- what FeaturizerMixin builds on -----------------------------------------------------------

    def feature_labels(self) -> list[str]:
        """Return the names of the features, before ``fit`` too.

        Returns
        -------
        list of str
            ``"<back-end>_<layer>_<number>"``; of the output, with the names of targets or classes
            in place of numbers, if they have names.
        """
        model, widths = self._ready()
        name = backbone_name(model.network_.backbone)
        ends = {layer: list(map(str, range(width))) for layer, width in widths.items()}
        if "output" in ends:
            ends["output"] = _output_names(model) or ends["output"]
        return [f"{name}_{layer}_{end}" for layer, found in ends.items() for end in found]

    def citations(self) -> list[str]:
        """Return what to cite, in BibTeX; nothing is known of the model.

        Returns
        -------
        list of str
        """
        return []

    def _featurizer(self) -> Callable[[Crystals], np.ndarray]:
        model, widths = self._ready()

        def compute(crystals: Crystals) -> np.ndarray:
            with library_defaults():
                return self._activations(model, list(widths), crystals)

        return compute

    def _ready(self) -> tuple[Any, dict[str, int]]:
        """Return the model, and the requested layers with their widths."""
        if hasattr(self, "model_"):
            return self.model_, self.layer_widths_
        with library_defaults():
            return self._resolve()

    def _resolve(self) -> tuple[Any, dict[str, int]]:
        check_count("batch_size", self.batch_size)
        if self.device is not None:
            resolve_device(self.device)
        model = _resolve_model(self.model, self.device)
        widths = _widths(model)
        return model, {name: widths[name] for name in _chosen(self.layers, list(widths))}

    def _activations(self, model: Any, layers: list[str], crystals: Crystals) -> np.ndarray:
        network: Network = model.network_
        network.check(crystals)
        module, device = _on_device(model, self.device)
        packed = network.pack(crystals, device, verbose=self.verbose)
        loader = CrystalLoader(
            CrystalDataset(packed, np.arange(len(crystals))),
            int(self.batch_size),
            shuffle=False,
            by_size=network.backbone.pads,
        )
        with show_progress(self.verbose), progress_bar(len(crystals), "layers", "crystals") as bar:

            def run(batch):
                vectors = _layers(module, model.task_, batch)
                bar.update(len(batch))
                return torch.cat([vectors[name] for name in layers], dim=1)

            features = outputs_of(run, loader)
        check_finite(features, crystals)
        return np.ascontiguousarray(features, dtype=np.float32)


def _resolve_model(model: Any, device: Any) -> Any:
    """Return a copy of the fitted estimator of `model`, which other fits do not change."""
    model = shipped_first(model)
    if isinstance(model, (str, PathLike)):
        return load_pretrained(model, device="auto" if device is None else device)
    model = unwrapped(model)
    if not isinstance(model, CrystalEstimator):
        raise TypeError(
            "model must be a fitted CrystalGNNRegressor, CrystalGNNClassifier or "
            "CrystalTransformerRegressor, a Pipeline that ends with one, or the folder of a saved "
            f"one; got {type(model).__name__}. Of a search, pass its best_estimator_"
        )
    return kept(model)


def _layers(module: CrystalModule, task: FittedTask, batch: CrystalBatch) -> dict[str, Tensor]:
    """Return one vector per crystal for each layer and for the output."""
    vectors = module.layer_vectors(batch)
    return {**vectors, "output": module.head(vectors["embed"])[:, : task.n_predicted]}


def _output_names(model: Any) -> list[str] | None:
    """Return the names of classes or targets, if they have any."""
    classes = getattr(model, "classes_", None)
    return model.target_names_ if classes is None else list(map(str, classes))


def _widths(model: Any) -> dict[str, int]:
    """Return the names of all layers and their numbers of columns, found with one small crystal."""
    network: Network = model.network_
    number = np.flatnonzero(network.elements.seen)[:1] + 1
    probe = Crystals(number, np.zeros((1, 3)), 2.0 * np.eye(3)[None], [0, 1])
    batch = network.pack(probe, model.device_).batch([0])
    with torch.inference_mode():
        vectors = _layers(model.net_.module_.eval(), model.task_, batch)
    return {name: found.shape[1] for name, found in vectors.items()}


def _chosen(layers: Any, known: list[str]) -> list[str]:
    """Return the names of the requested layers."""
    if isinstance(layers, str):
        layers = known if layers == "all" else [layers]
    names = list(layers) if isinstance(layers, (list, tuple)) else []
    if not names or any(name not in known for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f'layers must be "all" or different ones of {", ".join(known)}; got {layers!r}'
        )
    return names


def _on_device(model: Any, device: Any) -> tuple[CrystalModule, torch.device]:
    """Return the network of a model in eval mode; a copy if the device differs."""
    module: CrystalModule = model.net_.module_.eval()
    if device is None or resolve_device(device) == model.device_:
        return module, model.device_
    resolved = resolve_device(device)
    return copy.deepcopy(module).to(resolved), resolved
