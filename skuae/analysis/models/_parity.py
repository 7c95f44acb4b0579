"""Predictions against true values, for ten crystals or a hundred thousand."""

from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from skuae.analysis._axes import take_ax, with_unit
from skuae.analysis.models._checks import check_rows


class ParityDisplay:
    """Predicted against true values, with the errors in a corner.

    Unlike scikit-learn's `PredictionErrorDisplay`, it draws all rows instead of a sample; many rows
    become hexagons coloured by their number. Both axes have the same scale. Units and metrics are
    shown. There are no residual plots.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        As checked by `from_predictions`.
    quantity : str
        Name of the target.
    unit : str or None

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : matplotlib PathCollection or PolyCollection
        Points, or hexagons.
    metrics_ : dict
        ``"MAE"``, ``"RMSE"`` (in the units of y) and ``"R2"``, of all rows.

    See Also
    --------
    sklearn.metrics.PredictionErrorDisplay : Residuals against predictions.

    Examples
    --------
    >>> from skuae.analysis import ParityDisplay
    >>> display = ParityDisplay.from_predictions(
    ...     [-1.0, -2.0, -3.0], [-1.5, -2.0, -2.5], quantity="formation energy", unit="eV/atom"
    ... )
    >>> round(display.metrics_["MAE"], 3)
    0.333
    >>> display.plot().ax_.get_xlabel()
    'true formation energy (eV/atom)'
    """

    def __init__(self, *, y_true, y_pred, quantity="target", unit=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.quantity = quantity
        self.unit = unit
        self.metrics_ = {
            "MAE": float(mean_absolute_error(y_true, y_pred)),
            "RMSE": float(root_mean_squared_error(y_true, y_pred)),
            "R2": float(r2_score(y_true, y_pred)) if len(y_true) > 1 else float("nan"),
        }

    @classmethod
    def from_estimator(cls, estimator, X, y, *, quantity=None, unit=None):
        """Make a display of the predictions of a fitted regressor.

        Parameters
        ----------
        estimator : estimator
            Fitted, with one target.
        X : array-like of structures, or whatever its `predict` takes
        y : array-like of shape (n_samples,)
            True values.
        quantity : str, optional
            What is predicted; the name of `y` if that is a Series, else "target".
        unit : str, optional
            Its unit, e.g. ``"eV/atom"``.

        Returns
        -------
        display : ParityDisplay
        """
        return cls.from_predictions(y, estimator.predict(X), quantity=quantity, unit=unit)

    @classmethod
    def from_predictions(cls, y_true, y_pred, *, quantity=None, unit=None):
        """Make a display of predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
        quantity : str, optional
            What is predicted; the name of `y_true` if that is a Series, else "target".
        unit : str, optional
            Its unit, e.g. ``"eV/atom"``.

        Returns
        -------
        display : ParityDisplay

        Raises
        ------
        ValueError
            If lengths differ or a value is not finite.
        """
        quantity = quantity or getattr(y_true, "name", None) or "target"
        y_true, y_pred = check_rows(y_true=y_true, y_pred=y_pred)
        return cls(y_true=y_true, y_pred=y_pred, quantity=quantity, unit=unit)

    def plot(self, ax=None, *, kind="auto", name=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        kind : {"auto", "scatter", "hexbin"}, default="auto"
            Points, or hexagons coloured by the number of rows in them; "auto" draws hexagons from
            1,000 rows on.
        name : str, optional
            Title of the plot, such as the name of the model.

        Returns
        -------
        self : object
        """
        if kind not in ("auto", "scatter", "hexbin"):
            raise ValueError(f"kind={kind!r} must be 'auto', 'scatter' or 'hexbin'")
        if kind == "auto":
            kind = "scatter" if len(self.y_true) < 1000 else "hexbin"
        ax, figure = take_ax(ax, (5, 4.6))
        low = min(self.y_true.min(), self.y_pred.min())
        high = max(self.y_true.max(), self.y_pred.max())
        margin = 0.04 * (high - low) or 1.0
        limits = low - margin, high + margin
        ax.plot(limits, limits, color="0.4", linewidth=1, linestyle="--", zorder=0)
        if kind == "hexbin":
            self.points_ = ax.hexbin(
                self.y_true, self.y_pred, gridsize=60, mincnt=1, extent=(*limits, *limits),
                cmap="viridis", bins="log", linewidths=0.1,
            )  # fmt: skip
            figure.colorbar(self.points_, ax=ax, label="rows per hexagon", shrink=0.8)
        else:
            self.points_ = ax.scatter(self.y_true, self.y_pred, s=12, alpha=0.5, color="tab:blue")
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        ax.set_yticks(ax.get_xticks())
        ax.set(xlim=limits, ylim=limits)  # ticks outside had moved them
        ax.set_xlabel(with_unit(f"true {self.quantity}", self.unit))
        ax.set_ylabel(with_unit(f"predicted {self.quantity}", self.unit))
        if name is not None:
            ax.set_title(name)
        ax.text(
            0.04, 0.96, self._metrics_text(), transform=ax.transAxes, va="top", ha="left",
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
        )  # fmt: skip
        self.ax_, self.figure_ = ax, figure
        return self

    def _metrics_text(self):
        unit = f" {self.unit}" if self.unit else ""
        lines = [f"{name} {_three_digits(self.metrics_[name])}{unit}" for name in ("MAE", "RMSE")]
        return "\n".join([*lines, f"R² {self.metrics_['R2']:.3f}, n = {len(self.y_true):,}"])


def _three_digits(value):
    """Return an error as text with three digits, and without an exponent if that is short."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
