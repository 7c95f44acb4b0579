"""
How sure is a prediction?
=========================

Band gaps with a standard deviation for every crystal, from one network (``loss="gaussian_nll"``),
and intervals that hold what they promise, from MAPIE around it (``pip install mapie``).
"""

# %%
# The data
# --------
# Gaps are a good case for it: those of metals are 0 and easy, those of insulators are not. A data
# frame with one column of structures is what every tool of scikit-learn and MAPIE takes. 500
# crystals are kept back for the intervals.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mapie.conformity_scores import StdConformityScore
from mapie.regression import SplitConformalRegressor
from scipy.stats import norm
from sklearn.model_selection import train_test_split

from skuae import CrystalGNNRegressor, datasets
from skuae.analysis import UncertaintyCalibrationDisplay

X, y = datasets.load_mp_mini(target="band_gap", return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=600, random_state=0)
X_train, X_held, y_train, y_held = train_test_split(X_train, y_train, test_size=500, random_state=0)

# %%
# A mean and a standard deviation
# -------------------------------
# The network has two outputs, trained with the likelihood of a normal distribution. If the spread
# it predicts is right, errors divided by it have a root mean square of 1.
gnn = CrystalGNNRegressor(embedding="ct-uae-mt", loss="gaussian_nll", max_epochs=30, random_state=0)
gnn.fit(X_train, y_train)
mean, std = gnn.predict(X_test, return_std=True)
error = np.abs(mean - y_test.to_numpy())
print(f"mean absolute error {error.mean():.3f} eV")
print(f"root mean square of error / std: {np.sqrt(np.mean((error / std) ** 2)):.2f}")
print(f"rank correlation of error and std: {pd.Series(error).corr(pd.Series(std), 'spearman'):.2f}")

# %%
# Intervals
# ---------
# Three kinds. *Normal distribution*: mean ± a multiple of the standard deviation, taken at its
# word. *Conformal, one width*: MAPIE measures the errors on the held-out crystals, and takes a
# width that enough of them are within; the same for all crystals. *Conformal, width ∝ std*: it
# measures errors divided by the standard deviation, which it asks the network for.
levels = np.round(np.arange(0.1, 1.0, 0.1), 1)
half = norm.ppf(0.5 + levels / 2) * std[:, None]
intervals = {"normal distribution": (mean[:, None] - half, mean[:, None] + half)}
scores = {"conformal, one width": "absolute", "conformal, width ∝ std": StdConformityScore()}
for name, score in scores.items():
    conformal = SplitConformalRegressor(
        gnn, confidence_level=levels.tolist(), conformity_score=score, prefit=True
    )
    conformal.conformalize(X_held, y_held)
    _, bounds = conformal.predict_interval(X_test)
    intervals[name] = bounds[:, 0], bounds[:, 1]  # (n_samples, n_levels) each

inside = {
    name: (low <= y_test.to_numpy()[:, None]) & (y_test.to_numpy()[:, None] <= high)
    for name, (low, high) in intervals.items()
}
rows = []
for name, (low, high) in intervals.items():
    for level in (0.8, 0.9):
        k = list(levels).index(level)
        rows.append((name, f"{level:.0%}", inside[name][:, k].mean(), (high - low)[:, k].mean()))
columns = ["intervals", "promised", "covered", "mean width (eV)"]
print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))

# %%
# Three pictures
# --------------
# Left: crystals with a larger predicted standard deviation have larger errors. The point above all
# others is solid helium, with a gap of 16.6 eV and no helium in the training rows: of that, the
# network had no idea. Middle: how many test crystals lie in intervals that promise to hold so many;
# the area between a curve and the diagonal says how far off it is on average.
# The errors are not distributed normally, so the network alone covers too few at the levels that
# matter; both conformal kinds hold on average. Right: intervals of one width do so by covering the
# easy crystals always and those that the network is least sure of far too seldom; with widths in
# proportion to the predicted standard deviation the shares are more even, though not equal.
style = {
    "normal distribution": {"color": "tab:gray", "marker": "o", "linestyle": ":"},
    "conformal, one width": {"color": "tab:orange", "marker": "s", "linestyle": "--"},
    "conformal, width ∝ std": {"color": "tab:blue", "marker": "D", "linestyle": "-"},
}
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")

ax = axes[0]
ax.scatter(std, error, s=8, alpha=0.4, color="tab:blue", label="test crystals")
tenth = pd.qcut(std, 10, labels=False)
binned = pd.DataFrame({"std": std, "square": error**2}).groupby(tenth).mean()
ax.plot(binned["std"], np.sqrt(binned["square"]), "ko-", label="root mean square, tenths")
ax.plot([std.min(), std.max()], [std.min(), std.max()], "k:", label="as predicted")
ax.set(xscale="log", yscale="log", ylim=(1e-3, None))
ax.set(xlabel="predicted standard deviation (eV)", ylabel="absolute error (eV)")
ax.legend(loc="lower right", fontsize="small")

for name, (low, high) in intervals.items():
    display = UncertaintyCalibrationDisplay.from_intervals(y_test, low, high, levels)
    display.plot(axes[1], name=name, **style[name])

ax = axes[2]
quarter = pd.qcut(std, 4, labels=False)
at_90 = list(levels).index(0.9)
for name, covered in inside.items():
    ax.plot(pd.Series(covered[:, at_90]).groupby(quarter).mean(), label=name, **style[name])
ax.axhline(0.9, color="k", linestyle=":", linewidth=1)
ax.set_xticks(range(4), ["surest\nquarter", "second", "third", "least sure\nquarter"])
ax.set(ylabel="share covered by 90 % intervals", ylim=(None, 1.02))
plt.show()
