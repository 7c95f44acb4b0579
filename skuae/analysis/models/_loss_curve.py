"""Training and validation loss by epoch."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skuae.analysis._axes import take_ax


class LossCurveDisplay:
    """Training loss, and validation loss if there is one, against epochs.

    Parameters
    ----------
    epochs : ndarray of int of shape (n_epochs,)
    train_loss : ndarray of shape (n_epochs,)
        Of standardised targets, or the log-loss of classes; NaN in an epoch that was interrupted.
    valid_loss : ndarray of shape (n_epochs,), or None
        With ``early_stopping=True``.
    best_epoch : int or None
        Epoch with the lowest validation loss; the model has its weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
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

    def __init__(self, *, epochs, train_loss, valid_loss=None, best_epoch=None):
        self.epochs = epochs
        self.train_loss = train_loss
        self.valid_loss = valid_loss
        self.best_epoch = best_epoch

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
        # an epoch that was interrupted in between has none
        valid = np.array([e.get("valid_loss", np.nan) for e in history])
        if np.isnan(valid).all():
            return cls(epochs=epochs, train_loss=train)
        best = int(epochs[np.nanargmin(valid)])
        return cls(epochs=epochs, train_loss=train, valid_loss=valid, best_epoch=best)

    def plot(self, ax=None, *, name=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        name : str, optional
            Put before "training" and "validation" in the legend, to tell several models on one
            `ax` apart.

        Returns
        -------
        self : object
        """
        ax, figure = take_ax(ax, (5.5, 4))
        prefix = f"{name}, " if name else ""
        marker = "o" if len(self.epochs) == 1 else None
        (line,) = ax.plot(self.epochs, self.train_loss, marker=marker, label=f"{prefix}training")
        self.lines_ = [line]
        if self.valid_loss is not None:
            label = f"{prefix}validation, best in epoch {self.best_epoch}"
            (valid,) = ax.plot(
                self.epochs, self.valid_loss, linestyle="--", color=line.get_color(), label=label
            )
            lowest = self.valid_loss[self.epochs == self.best_epoch]
            ax.plot([self.best_epoch], lowest, "o", color=line.get_color())
            self.lines_.append(valid)
        losses = np.concatenate([self.train_loss, self.valid_loss if len(self.lines_) > 1 else []])
        if np.all(losses[np.isfinite(losses)] > 0):  # a likelihood may be negative
            ax.set_yscale("log")
        ax.set(xlabel="epoch", ylabel="loss, as it was minimised")
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self
