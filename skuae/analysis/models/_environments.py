"""Vectors of sites from a fitted graph network, and a map of them."""

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state

from skuae._elements import SYMBOLS
from skuae.analysis._axes import take_ax
from skuae.analysis._style import class_colors, marker_of
from skuae.analysis._tsne import tsne
from skuae.analysis.models._networks import batches, site_index, take_network
from skuae.training import library_defaults

_LEAST_SITES = 5
_ROUNDED = 1e-5  # relative to the largest number: environments so close are equal
_LEGEND_ROWS = 24


def site_environments(estimator, X):
    """Return the vector of a graph network for every site: its environment.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted, with any back-end other than CrystalTransformer and CrystalBERT.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        The structures; for a pipeline, what its first step takes.

    Returns
    -------
    DataFrame of shape (n_sites, n_dims)
        One row per site, 192 columns for SEN at its defaults. The index has the levels ``row``,
        ``site`` (both count from 0) and ``element``, the symbol; on a shared site, that of the
        majority element. ``environments.loc[5]`` are the sites of row 5, and
        ``environments.xs("O", level="element")`` all oxygens.

    Raises
    ------
    TypeError
        If the estimator is no graph network.
    NotFittedError
        If it is not fitted.
    ValueError
        If its back-end has no vectors of sites, or an element is not known.

    See Also
    --------
    SiteEnvironmentsDisplay : Draws a map of them.

    Notes
    -----
    Symmetry-equivalent sites have equal environments in every network that reads distances to whole
    shells of neighbours, trained or not. Equal environments are no evidence of learning.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.analysis import site_environments
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=8, random_state=0)
    >>> gnn = CrystalGNNRegressor("sen", max_epochs=1, random_state=0)
    >>> environments = site_environments(gnn.fit(toy.structures, toy.target), toy.structures[:2])
    >>> environments.shape[1], list(environments.index.names)
    (192, ['row', 'site', 'element'])
    """
    with library_defaults():
        estimator, crystals = take_network(estimator, X)
        vectors = environments_of(estimator, estimator.net_.module_, crystals)
    elements = np.array(SYMBOLS, dtype=object)[crystals.numbers - 1]
    return pd.DataFrame(vectors, index=site_index(crystals, element=elements))


def environments_of(estimator, module, crystals):
    """Return the vectors of all sites of crystals, (n_sites, any).

    Parameters
    ----------
    estimator : CrystalGNNRegressor or CrystalGNNClassifier
        Fitted.
    module : CrystalModule
        Its network, or another one of the same architecture.
    crystals : Crystals

    Returns
    -------
    ndarray of float32

    Raises
    ------
    ValueError
        If the network has no vectors of sites.
    """
    if not module.has_site_vectors:
        raise ValueError(
            f"the back-end {type(estimator.network_.backbone).__name__} has no vectors of sites; "
            'use another, e.g. backbone="sen" or "cgcnn"'
        )
    with torch.inference_mode():
        packed = estimator.network_.pack(crystals, estimator.device_, merge=False)
        module.eval()
        parts = batches(np.arange(len(packed)), estimator.batch_size)
        vectors = [module.site_vectors(packed.batch(rows)).cpu() for rows in parts]
    return torch.cat(vectors).numpy()


class SiteEnvironmentsDisplay:
    """Map of the environments of sites by t-SNE, coloured by element.

    Make one with `from_estimator` or `from_environments`.

    Parameters
    ----------
    coordinates : DataFrame of shape (n_sites, 2)
        The index has a level ``element``; the columns name the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    t-SNE keeps neighbours together. Distances and sizes of groups mean little, and even noise forms
    groups. Equal environments coincide. Ten thousand sites take about a minute.

    References
    ----------
    L. van der Maaten, G. Hinton, J. Mach. Learn. Res. 9, 2579 (2008).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skuae.analysis import SiteEnvironmentsDisplay
    >>> index = pd.MultiIndex.from_arrays([range(20), [0] * 20, ["O", "Ti"] * 10],
    ...                                   names=["row", "site", "element"])
    >>> vectors = np.random.default_rng(0).normal(size=(20, 8))
    >>> environments = pd.DataFrame(vectors, index=index)
    >>> display = SiteEnvironmentsDisplay.from_environments(environments).plot()
    >>> display.ax_.get_xlabel()
    't-SNE 1'
    """

    def __init__(self, coordinates):
        self.coordinates = coordinates

    @classmethod
    def from_estimator(cls, estimator, X, *, random_state=0):
        """Compute the environments of sites, and a map of them.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
            As for :func:`site_environments`.
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            The structures.
        random_state : int, RandomState instance or None, default=0
            Seeds t-SNE.

        Returns
        -------
        SiteEnvironmentsDisplay
        """
        return cls.from_environments(site_environments(estimator, X), random_state=random_state)

    @classmethod
    def from_environments(cls, environments, *, random_state=0):
        """Compute a map of environments.

        Parameters
        ----------
        environments : DataFrame
            From :func:`site_environments`.
        random_state : int, RandomState instance or None, default=0
            Seeds t-SNE.

        Returns
        -------
        SiteEnvironmentsDisplay

        Raises
        ------
        TypeError
            If `environments` is no DataFrame with a level ``element`` in its index.
        ValueError
            If there are fewer than five sites, one is not finite, or all environments are equal.
        """
        if "element" not in getattr(getattr(environments, "index", None), "names", ()):
            raise TypeError("environments must be a DataFrame as site_environments returns it")
        rows = environments.to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise ValueError(
                f"environment {environments.index[bad[0]]} is not finite; leave it out"
            )
        if len(rows) < _LEAST_SITES:
            raise ValueError(f"{len(rows)} sites: a map needs at least {_LEAST_SITES}")
        if np.ptp(rows, axis=0).max() <= _ROUNDED * np.abs(rows).max():
            raise ValueError("all sites have equal environments: there is nothing to map")
        points = tsne(rows, check_random_state(random_state).randint(2**31 - 1))
        columns = ["t-SNE 1", "t-SNE 2"]
        return cls(pd.DataFrame(points, index=environments.index, columns=columns))

    def plot(self, ax=None):
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure.

        Returns
        -------
        SiteEnvironmentsDisplay
            Itself.
        """
        ax, figure = take_ax(ax, (8, 6))
        elements = self.coordinates.index.get_level_values("element")
        present = sorted(set(elements), key=SYMBOLS.index)
        points = self.coordinates.to_numpy(dtype=float)
        for i, (symbol, color) in enumerate(zip(present, class_colors(len(present)), strict=True)):
            x, y = points[elements == symbol].T
            ax.scatter(x, y, s=14, color=color, marker=marker_of(i), label=symbol, linewidths=0)
        ax.set(xlabel=self.coordinates.columns[0], ylabel=self.coordinates.columns[1])
        ax.set(xticks=[], yticks=[])  # these coordinates have no unit and no zero
        ax.legend(title="element", loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
                  ncols=-(-len(present) // _LEGEND_ROWS), fontsize="small", handletextpad=0.1,
                  columnspacing=0.8)  # fmt: skip
        self.ax_, self.figure_ = ax, figure
        return self
