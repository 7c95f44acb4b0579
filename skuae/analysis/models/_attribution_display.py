"""Bars of the contributions of the atoms of one crystal."""

import numpy as np

from skuae.analysis._axes import take_ax, with_unit
from skuae.analysis._style import color_of
from skuae.analysis.models._attribution import attribute_atoms


class AtomAttributionDisplay:
    """Contribution of each atom of one crystal to a prediction: bars, coloured by species.

    Contributions to the elements are drawn by `PeriodicTableDisplay`, from
    ``attribution.elements["mean"]``.

    Parameters
    ----------
    sites : DataFrame with the columns ``species`` and ``contribution``
        The atoms of one crystal.
    prediction : float
    baseline : float or None
        Mean of the training targets, to which the contributions add up the prediction.
    unit : str or None

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import AtomAttributionDisplay
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> small = models.ALIGNN(hidden_dim=16, n_alignn=1, n_gcn=1)
    >>> gnn = CrystalGNNRegressor(small, max_epochs=1, random_state=0)
    >>> gnn.fit(toy.structures, toy.target)
    CrystalGNNRegressor(...)
    >>> display = AtomAttributionDisplay.from_estimator(gnn, toy.structures[0])
    >>> len(display.plot().bars_)
    2
    """

    def __init__(self, *, sites, prediction, baseline=None, unit=None):
        self.sites = sites
        self.prediction = prediction
        self.baseline = baseline
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, structure, *, unit=None, **options):
        """Explain one crystal.

        Parameters
        ----------
        estimator : CrystalGNNRegressor or Pipeline that ends with one
            Fitted.
        structure : Structure, or anything that `as_crystals` takes for one row
        unit : str, optional
            Unit of the contributions; by default that of the model.
        **options : dict
            As in `attribute_atoms`.

        Returns
        -------
        display : AtomAttributionDisplay
        """
        attribution = attribute_atoms(estimator, [structure], **options)
        return cls.from_attribution(attribution, unit=unit)

    @classmethod
    def from_attribution(cls, attribution, row=0, *, unit=None):
        """Make a display of one row of a result of `attribute_atoms`.

        Parameters
        ----------
        attribution : Bunch
            As returned by `attribute_atoms`.
        row : int, default=0
        unit : str, optional
            Unit of the contributions; that of the attribution by default.

        Returns
        -------
        display : AtomAttributionDisplay

        Raises
        ------
        ValueError
            If there is no such row.
        """
        if row not in range(len(attribution.predictions)):
            raise ValueError(
                f"row={row!r}: the attribution has rows 0 to {len(attribution.predictions) - 1}"
            )
        return cls(
            sites=attribution.sites.loc[row],
            prediction=float(attribution.predictions[row]),
            baseline=attribution.baseline,
            unit=attribution.unit if unit is None else unit,
        )

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn into a new figure, as high as the atoms need, if None.

        Returns
        -------
        self : object
        """
        n = len(self.sites)
        ax, figure = take_ax(ax, (5.5, 1.4 + 0.24 * max(n, 4)))
        species = list(dict.fromkeys(self.sites["species"]))
        colors = [color_of(species.index(s)) for s in self.sites["species"]]
        self.bars_ = ax.barh(np.arange(n), self.sites["contribution"], color=colors)
        labels = [f"{s}  {i}" for i, s in zip(self.sites.index, self.sites["species"], strict=True)]
        ax.set_yticks(np.arange(n), labels, fontsize="small")
        ax.set_ylim(n - 0.4, -0.6)
        ax.use_sticky_edges = False  # room beside the longest bar, and beside zero
        ax.axvline(0, color="0.3", linewidth=1)
        unit = f" {self.unit}" if self.unit else ""
        title = f"prediction {self.prediction:#.3g}{unit}"
        if self.baseline is None:
            label = "drop of the prediction with an average atom there"
        else:
            rest = self.prediction - self.baseline
            title += f"\n= mean of training {self.baseline:#.3g} + contributions {rest:#.3g}"
            label = "contribution"
        ax.set_title(title, fontsize="medium")
        ax.set_xlabel(with_unit(label, self.unit))
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
        self.ax_, self.figure_ = ax, figure
        return self
