"""Training loss by epoch, and the validation errors of early stopping."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skuae.analysis._axes import take_ax


class LossCurveDisplay:
    """Training loss against epochs, and the errors of the numbers of epochs tried.

    Parameters
    ----------
    epochs : ndarray of int of shape (n_epochs,)
    train_loss : ndarray of shape (n_epochs,)
        Of standardised targets, or the log-loss of classes.
    epochs_tried : ndarray of int of shape (n_tried,), optional
        With ``early_stopping=True``.
    errors : ndarray of shape (n_tried,), optional
        Of the rows held back, after a training of so many epochs each.

    Attributes
    ----------
    ax_ : matplotlib Axes
    errors_ax_ : matplotlib Axes or None
        The scale of the errors, to the right of `ax_`.
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.analysis import LossCurveDisplay
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(max_epochs=3, random_state=0).fit(toy.structures, toy.target)
    >>> LossCurveDisplay.from_estimator(gnn).epochs
    array([1, 2, 3])
    """

    def __init__(self, *, epochs, train_loss, epochs_tried=None, errors=None):
        self.epochs = epochs
        self.train_loss = train_loss
        self.epochs_tried = epochs_tried
        self.errors = errors

    @classmethod
    def from_estimator(cls, estimator):
        """Make a display of the history of a fitted estimator.

        Parameters
        ----------
        estimator : CrystalGNNRegressor, CrystalGNNClassifier, CrystalTransformerRegressor or \
                Pipeline that ends with one
            Fitted.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        TypeError
            If the estimator has no history.
        """
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if history is None:
            raise TypeError(
                f"this {type(estimator).__name__} has no history_ of its training; the "
                "crystal estimators of skuae have one"
            )
        epochs = np.array([e["epoch"] for e in history])
        train = np.array([e["train_loss"] for e in history])
        tried = getattr(estimator, "epochs_tried_", [])
        if not tried:
            return cls(epochs=epochs, train_loss=train)
        numbers, errors = (np.array([entry[k] for entry in tried]) for k in ("epochs", "error"))
        return cls(epochs=epochs, train_loss=train, epochs_tried=numbers, errors=errors)

    def plot(self, ax=None, *, name=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        name : str, optional
            Put before the labels in the legend, to tell several models on one `ax` apart.

        Returns
        -------
        self : object
        """
        ax, figure = take_ax(ax, (5.5, 4))
        prefix = f"{name}, " if name else ""
        marker = "o" if len(self.epochs) == 1 else None
        (line,) = ax.plot(self.epochs, self.train_loss, marker=marker, label=f"{prefix}training")
        self.lines_, self.errors_ax_ = [line], None
        if np.all(self.train_loss > 0):  # a likelihood may be negative
            ax.set_yscale("log")
        shown = ax.get_lines()
        if self.errors is not None:
            self.errors_ax_ = _twin_of(ax)
            (tried,) = self.errors_ax_.plot(
                self.epochs_tried, self.errors, "o--", color=line.get_color(),
                label=f"{prefix}rows held back",
            )  # fmt: skip
            self.lines_.append(tried)
            self.errors_ax_.set_ylabel("error of the rows held back,\nafter so many epochs")
            shown = [*shown, *self.errors_ax_.get_lines()]
        ax.set(xlabel="epochs", ylabel="training loss")
        ax.legend(handles=shown, fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self


def _twin_of(ax):
    """Return a second y axis at the right of other axes; reuse it if there is one already."""
    for other in ax.figure.axes:
        if other is not ax and other.bbox.bounds == ax.bbox.bounds:
            return other
    return ax.twinx()
