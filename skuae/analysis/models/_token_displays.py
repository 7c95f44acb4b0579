"""Pictures of the tokens of a CrystalBERT."""

import numpy as np

from skuae.analysis._axes import name_rows, take_ax, with_unit
from skuae.analysis._style import COLORS, text_color
from skuae.analysis.models._tokens import attention_maps, token_contributions


def _shown(name):
    return name.replace("_", " ").replace("laue", "Laue")


class TokenContributionsDisplay:
    """Box plots of the contributions of CrystalBERT's tokens to its predictions.

    Parameters
    ----------
    contributions : Bunch
        As `token_contributions` returns it.
    unit : str or None
        Unit of the target.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    boxes_ : dict of list of matplotlib Artist

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import TokenContributionsDisplay
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> gnn.fit(toy.structures, toy.target)
    CrystalGNNRegressor(...)
    >>> display = TokenContributionsDisplay.from_estimator(gnn, toy.structures)
    >>> len(display.plot().boxes_["boxes"])
    8
    """

    def __init__(self, *, contributions, unit=None):
        self.contributions = contributions
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X, *, target=None, unit=None):
        """Explain predictions.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
            Fitted, with the back-end `CrystalBERT`.
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        target : int, str or label, optional
            As in `token_contributions`.
        unit : str, optional
            Unit of the contributions; by default that of the model.

        Returns
        -------
        display : TokenContributionsDisplay
        """
        contributions = token_contributions(estimator, X, target=target)
        return cls(contributions=contributions, unit=contributions.unit if unit is None else unit)

    def plot(self, ax=None):
        """Draw; boxes are quartiles, whiskers hold nine crystals of ten.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn into a new figure if None.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are fewer than two crystals.
        """
        values = self.contributions.tokens
        if len(values) < 2:
            raise ValueError(
                "boxes need at least two crystals; look at contributions.tokens instead"
            )
        ax, figure = take_ax(ax, (5.5, 1.2 + 0.32 * values.shape[1]))
        centered = values.to_numpy() - values.to_numpy().mean(axis=0)
        self.boxes_ = ax.boxplot(
            centered,
            orientation="horizontal",
            positions=np.arange(values.shape[1]),
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": COLORS[4]},
            medianprops={"color": "black"},
        )
        name_rows(ax, [_shown(name) for name in values.columns])
        ax.axvline(0, color="0.3", linewidth=1)
        ax.set_xlabel(with_unit("contribution, minus its mean", self.unit))
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
        self.ax_, self.figure_ = ax, figure
        return self


class AttentionMapDisplay:
    """Attention between the tokens of a CrystalBERT, averaged over crystals and heads.

    Parameters
    ----------
    weights : ndarray of shape (n_tokens, n_tokens)
        Attention of the token of the row to the token of the column.
    tokens : list of str

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import AttentionMapDisplay
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> gnn = gnn.fit(toy.structures, toy.target)
    >>> display = AttentionMapDisplay.from_estimator(gnn, toy.structures).plot()
    """

    def __init__(self, *, weights, tokens):
        self.weights = weights
        self.tokens = tokens

    @classmethod
    def from_estimator(cls, estimator, X, *, layer=0):
        """Average the attention of one layer.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
            Fitted, with the back-end `CrystalBERT`.
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        layer : int, default=0

        Returns
        -------
        display : AttentionMapDisplay

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        maps = attention_maps(estimator, X)
        n_layers = maps.weights.shape[1]
        if layer not in range(-n_layers, n_layers):
            raise ValueError(f"layer={layer!r}: the network has layers 0 to {n_layers - 1}")
        return cls(weights=maps.weights[:, layer].mean(axis=(0, 1)), tokens=maps.tokens)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn into a new figure if None.

        Returns
        -------
        self : object
        """
        n = len(self.tokens)
        ax, figure = take_ax(ax, (2.5 + 0.55 * n, 1.8 + 0.5 * n))
        self.image_ = ax.imshow(self.weights, vmin=0, cmap="viridis", aspect="auto")
        for i, j in np.ndindex(n, n):
            color = text_color(self.image_.cmap(self.image_.norm(self.weights[i, j])))
            text = f"{self.weights[i, j]:.2f}"
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize="small")
        names = [_shown(name) for name in self.tokens]
        ax.set_xticks(range(n), names, rotation=45, ha="right")
        name_rows(ax, names)
        ax.set_xlabel("is read")
        ax.set_ylabel("reads")
        self.ax_, self.figure_ = ax, figure
        return self
