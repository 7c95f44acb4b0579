"""Calibration of predicted standard deviations and intervals."""

import numpy as np
from scipy.stats import norm

from skuae._messages import such_rows
from skuae.analysis._axes import take_ax
from skuae.analysis.models._checks import check_rows

LEVELS = np.linspace(0.05, 0.95, 19)


class UncertaintyCalibrationDisplay:
    """Share of rows inside their intervals against the nominal share.

    On the diagonal, intervals are calibrated; below it they are too narrow, above it too wide.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Nominal coverages, between 0 and 1.
    coverage : ndarray of shape (n_levels,)
        Share of the rows that are covered.
    rms_z : float or None
        Root mean square of error divided by standard deviation; 1 if the standard deviations are
        right. None for intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
    miscalibration_area_ : float
        Area between the curve and the diagonal, from 0 to 0.5 (Kuleshov et al., ICML 2018).

    Notes
    -----
    Errors are assumed to be normally distributed. Intervals that are calibrated on average may be
    too narrow for some rows and too wide for others.

    Examples
    --------
    >>> import numpy as np
    >>> from skuae.analysis import UncertaintyCalibrationDisplay
    >>> error = np.random.default_rng(0).normal(size=2000)
    >>> display = UncertaintyCalibrationDisplay.from_predictions(error, 0 * error, 0 * error + 0.5)
    >>> round(display.rms_z, 1)  # predicted deviations are half of the true ones
    2.0
    """

    def __init__(self, *, levels, coverage, rms_z=None):
        self.levels = levels
        self.coverage = coverage
        self.rms_z = rms_z
        x, y = np.array([0.0, *levels, 1.0]), np.array([0.0, *coverage, 1.0])
        # Between two levels the curve may cross the diagonal; a fine grid sees both sides.
        grid = np.linspace(0, 1, 1001)
        self.miscalibration_area_ = float(np.trapezoid(np.abs(np.interp(grid, x, y) - grid), grid))

    @classmethod
    def from_estimator(cls, estimator, X, y):
        """Make a display of a regressor with standard deviations, on rows it was not fitted on.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict(X, return_std=True)``, such as
            ``CrystalGNNRegressor(loss="gaussian_nll")``, a pipeline that ends with one, or
            scikit-learn's `GaussianProcessRegressor`.
        X : array-like of structures, or whatever its `predict` takes
        y : array-like of shape (n_samples,)
            True values.

        Returns
        -------
        display : UncertaintyCalibrationDisplay
        """
        mean, std = estimator.predict(X, return_std=True)
        return cls.from_predictions(y, mean, std)

    @classmethod
    def from_predictions(cls, y_true, y_pred, y_std):
        """Make a display of predictions with standard deviations.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_samples,)
            Truth, prediction and its standard deviation, in the same units.

        Returns
        -------
        display : UncertaintyCalibrationDisplay

        Raises
        ------
        ValueError
            If lengths differ, a value is not finite, or a standard deviation is not positive.
        """
        y_true, y_pred, y_std = check_rows(y_true=y_true, y_pred=y_pred, y_std=y_std)
        bad = np.flatnonzero(y_std <= 0)
        if len(bad):
            raise ValueError(
                f"y_std is {y_std[bad[0]]} in row {bad[0]}{such_rows(len(bad))}; standard "
                "deviations are positive"
            )
        z = np.abs(y_true - y_pred) / y_std
        coverage = (z[:, None] <= norm.ppf(0.5 + LEVELS / 2)).mean(axis=0)
        rms_z = float(np.sqrt(np.mean(z**2)))
        return cls(levels=LEVELS, coverage=coverage, rms_z=rms_z)

    @classmethod
    def from_intervals(cls, y_true, lower, upper, levels):
        """Make a display of intervals of several levels, such as those of MAPIE.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        lower, upper : array-like of shape (n_samples, n_levels)
            Ends of the intervals; both count as inside.
        levels : array-like of shape (n_levels,)
            Nominal coverages, rising, between 0 and 1.

        Returns
        -------
        display : UncertaintyCalibrationDisplay

        Raises
        ------
        ValueError
            If shapes do not fit, or levels do not rise from above 0 to below 1.
        """
        (y_true,) = check_rows(y_true=y_true)
        lower, upper, levels = (np.asarray(a, dtype=np.float64) for a in (lower, upper, levels))
        if not (levels.ndim == 1 and np.all(np.diff([0.0, *levels, 1.0]) > 0)):
            raise ValueError(f"levels must rise from above 0 to below 1, got {levels.tolist()}")
        shape = (len(y_true), len(levels))
        if lower.shape != shape or upper.shape != shape:
            raise ValueError(
                f"lower has shape {lower.shape} and upper {upper.shape}; {shape} expected: a row "
                "per row of y_true, a column per level"
            )
        inside = (lower <= y_true[:, None]) & (y_true[:, None] <= upper)
        return cls(levels=levels, coverage=inside.mean(axis=0))

    def plot(self, ax=None, *, name=None, **line_kwargs):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure by default.
        name : str, optional
            Name in the legend.
        **line_kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        self : object
        """
        ax, figure = take_ax(ax, (4.8, 4.8))
        if not ax.lines:  # the first of several on these axes
            ax.plot([0, 1], [0, 1], color="0.4", linewidth=1, linestyle=":", label="as promised")
        label = f"area {self.miscalibration_area_:.3f}"
        if self.rms_z is not None:
            label += f", rms z {self.rms_z:.2f}"
        label = f"{name} ({label})" if name else label
        options = {"marker": "o", "markersize": 4, "label": label, **line_kwargs}
        (self.line_,) = ax.plot(self.levels, self.coverage, **options)
        ax.set(xlabel="promised coverage", ylabel="share of rows covered")
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self
