"""Atom features of a frozen interatomic potential as features of crystals."""

import copy
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skuae.crystals import Crystals
from skuae.embedding import FeaturizerMixin, check_statistics, crystals_and_table
from skuae.estimators import unwrapped
from skuae.featurizers._model import KeepsModel, check_count, kept
from skuae.potentials import CrystalPotential
from skuae.training import library_defaults, resolve_device

_CITATIONS = {
    "chgnet": """\
@article{deng2023chgnet,
  title = {{CHGNet} as a pretrained universal neural network potential for charge-informed
    atomistic modelling},
  author = {Deng, Bowen and Zhong, Peichen and Jun, KyuJung and Riebesell, Janosh and Han, Kevin
    and Bartel, Christopher J. and Ceder, Gerbrand},
  journal = {Nature Machine Intelligence}, volume = {5}, pages = {1031--1041}, year = {2023},
  doi = {10.1038/s42256-023-00716-3}
}""",
    "m3gnet": """\
@article{chen2022m3gnet,
  title = {A universal graph deep learning interatomic potential for the periodic table},
  author = {Chen, Chi and Ong, Shyue Ping},
  journal = {Nature Computational Science}, volume = {2}, pages = {718--728}, year = {2022},
  doi = {10.1038/s43588-022-00349-3}
}""",
    "sevennet": """\
@article{park2024sevennet,
  title = {Scalable Parallel Algorithm for Graph Neural Network Interatomic Potentials in Molecular
    Dynamics Simulations},
  author = {Park, Yutack and Kim, Jaesun and Hwang, Seungwoo and Han, Seungwu},
  journal = {Journal of Chemical Theory and Computation}, volume = {20}, pages = {4857--4868},
  year = {2024}, doi = {10.1021/acs.jctc.4c00190}
}""",
    "mace": """\
@inproceedings{batatia2022mace,
  title = {{MACE}: Higher Order Equivariant Message Passing Neural Networks for Fast and Accurate
    Force Fields},
  author = {Batatia, Ilyes and Kov{\\'a}cs, D{\\'a}vid P{\\'e}ter and Simm, Gregor N. C. and
    Ortner, Christoph and Cs{\\'a}nyi, G{\\'a}bor},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {35}, year = {2022},
  url = {https://arxiv.org/abs/2206.07697}
}""",
}


class PotentialTransformer(FeaturizerMixin, TransformerMixin, KeepsModel):
    """Features of crystals from the atoms of an interatomic potential, which stays as it is.

    A potential computes a vector for each atom, from which it reads the energy of the atom. The
    features are statistics of these vectors over the atoms of a crystal.

    Parameters
    ----------
    model : str, path, CrystalPotential, Pipeline or model of mace-torch, default="chgnet-0.3.0"
        ``"chgnet-0.3.0"``, ``"chgnet-0.2.0"`` or ``"chgnet-r2scan"`` where the chgnet package is
        installed (``pip install "skuae[chgnet]"``), ``"sevennet-0"`` where the sevenn package is
        (``pip install "skuae[sevennet]"``), the folder of a saved potential, a fitted one, a
        Pipeline that ends with one, or a ``mace.modules.ScaleShiftMACE`` (``pip install
        "skuae[mace]"``). Clones of this transformer keep the fitted potential. A search clones its
        candidates: in the grid of a search, put fitted potentials into
        :class:`sklearn.frozen.FrozenEstimator`, or pass names and folders.
    statistics : tuple of {"mean", "std", "min", "max"}, default=("mean", "std", "min", "max")
        What is taken over the atoms of a crystal; "std" is the population standard deviation.
    max_edges : int, default=200000
        Edges that are computed at once; on a CPU, 8,192 at most.
    device : str, torch.device or None, default=None
        Where the network runs. None: where the potential is, and "auto" for names and folders.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : CrystalPotential
        The fitted potential. Fitting `model` again does not change it.
    n_features_out_ : int
        Number of features.

    See Also
    --------
    BackboneTransformer : Features from the layers of a fitted graph network.
    skuae.potentials.CrystalPotential.site_features : The vectors of the atoms.

    Notes
    -----
    Potentials read positions and cells as they are: equal crystals in different states of
    relaxation have different features. A supercell has the features of its cell.

    The published potentials of CHGNet and SevenNet-0 were trained on MPtrj: energies, forces and
    stresses of 1.58 million structures from relaxations of 146,000 materials of the Materials
    Project, CHGNet on magnetic moments, too. They have seen the energies of nearly all
    crystals of that project. So errors of models on these features are too small where targets are
    energies of the Materials Project (formation energies, energies above the hull), for the test
    rows were in the training data of the potential. The same holds in part for properties that go
    with the energy.

    CHGNet and M3GNet of 64 columns have 256 features, SevenNet-0 has 512. Of MACE, the scalars of
    an atom after each update are taken, which do not change when a crystal is rotated: 128 scalars
    and two updates make 1,024 features. Elements that the potential was not trained on and
    disordered crystals are refused by row. Features are float32.

    Examples
    --------
    >>> from skuae.datasets import make_toy_crystals
    >>> from skuae.featurizers import PotentialTransformer
    >>> from skuae.potentials import CHGNet, CrystalPotential
    >>> X = make_toy_crystals(8, random_state=0).structures
    >>> y = [{"energy": -3.0 * len(crystal)} for crystal in X]
    >>> small = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5)
    >>> potential = CrystalPotential(small, max_epochs=2, random_state=0).fit(X, y)
    >>> features = PotentialTransformer(potential, statistics=["mean", "std"])
    >>> features.fit_transform(X).shape
    (8, 16)
    >>> features.get_feature_names_out()[:2]
    array(['chgnet_mean_0', 'chgnet_mean_1'], dtype=object)
    """

    def __init__(
        self,
        model="chgnet-0.3.0",
        statistics=("mean", "std", "min", "max"),
        *,
        max_edges=200_000,
        device=None,
        verbose=0,
    ):
        self.model = model
        self.statistics = statistics
        self.max_edges = max_edges
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the potential and check the crystals; nothing is learned from them.

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
        ImportError
            If the package of a published potential, chgnet or sevenn, is not installed, or that of
            a potential of MACE, mace-torch.
        NotFittedError
            If the potential is not fitted.
        TypeError
            If `model` is something else, or a row is not a structure.
        ValueError
            If a structure or a parameter makes no sense, a crystal is disordered, or it has an
            element that the potential was not trained on.
        """
        self._check_params()
        with library_defaults():
            model = _resolve_model(self.model, self.device)
            crystals, _ = crystals_and_table(X)
            model.fitted_.check(crystals)
        self.model_ = model
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
            One block of columns per statistic.

        Raises
        ------
        ValueError
            If a structure makes no sense, a crystal is disordered, or it has an element that the
            potential was not trained on.
        """
        check_is_fitted(self)
        with library_defaults():
            crystals, _ = crystals_and_table(X)
        return self._featurizer()(crystals)

    @property
    def n_features_out_(self) -> int:
        """Number of features."""
        if not hasattr(self, "model_"):
            raise AttributeError("n_features_out_ is there after fit")
        return len(self.feature_labels())

    # -- what FeaturizerMixin builds on -----------------------------------------------------------

    def feature_labels(self) -> list[str]:
        """Return the names of the features, before ``fit`` too.

        Returns
        -------
        list of str
            ``"<network>_<statistic>_<number>"``.
        """
        width = self._ready().fitted_.backbone.width
        name = self._network()
        return [f"{name}_{s}_{i}" for s in self.statistics for i in range(width)]

    def citations(self) -> list[str]:
        """Return what to cite, in BibTeX: the paper of the network.

        Returns
        -------
        list of str
        """
        return [_CITATIONS[self._network()]]

    def _network(self) -> str:
        return type(self._ready().fitted_.backbone).__name__.lower()

    def _featurizer(self) -> Callable[[Crystals], np.ndarray]:
        model, statistics = copy.copy(self._ready()), tuple(self.statistics)
        model.set_params(max_edges=self.max_edges, verbose=self.verbose)

        def compute(crystals: Crystals) -> np.ndarray:
            return _pooled(np.concatenate(model.site_features(crystals)), crystals, statistics)

        return compute

    def _ready(self) -> CrystalPotential:
        """Return the fitted potential."""
        self._check_params()
        if hasattr(self, "model_"):
            return self.model_
        with library_defaults():
            return _resolve_model(self.model, self.device)

    def _check_params(self) -> None:
        check_statistics(self.statistics)
        check_count("max_edges", self.max_edges)
        if self.device is not None:
            resolve_device(self.device)


def _resolve_model(model: Any, device: Any) -> CrystalPotential:
    """Return a copy of the fitted potential of `model`, which other fits do not change."""
    if isinstance(model, (str, PathLike, torch.nn.Module)):
        return CrystalPotential.from_pretrained(model, device="auto" if device is None else device)
    model = unwrapped(model)
    if not isinstance(model, CrystalPotential):
        raise TypeError(
            "model must be a fitted CrystalPotential, a Pipeline that ends with one, the folder of "
            'a saved one, a name such as "chgnet-0.3.0", or a model of mace-torch; got '
            f"{type(model).__name__}. Of a search, pass its best_estimator_"
        )
    model = kept(model)
    if device is not None and resolve_device(device) != model.fitted_.device:
        module = copy.deepcopy(model.fitted_.module).to(resolve_device(device))
        model.fitted_ = replace(model.fitted_, module=module)
    return model


def _pooled(sites: np.ndarray, crystals: Crystals, statistics: tuple[str, ...]) -> np.ndarray:
    """Take statistics of vectors of sites (n_sites, d) over the sites of each crystal."""
    starts, sizes = crystals.offsets[:-1], crystals.sizes[:, None]
    sites = sites.astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) / sizes

    def std(values: np.ndarray) -> np.ndarray:
        # Deviations from the mean, not E[x²] - E[x]²: that cancels to noise.
        return np.sqrt(mean((values - np.repeat(mean(values), crystals.sizes, axis=0)) ** 2))

    functions = {
        "mean": mean,
        "std": std,
        "min": lambda values: np.minimum.reduceat(values, starts),
        "max": lambda values: np.maximum.reduceat(values, starts),
    }
    blocks = [functions[name](sites) for name in statistics]
    return np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
