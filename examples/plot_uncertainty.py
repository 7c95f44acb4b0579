"""
Standard deviations and prediction intervals
============================================

One network predicts band gaps with a standard deviation for every crystal
(``loss="gaussian_nll"``). MAPIE turns them into intervals with the right coverage on average
(``pip install mapie``).
"""

# %%
# The data
# --------
# Gaps of metals are 0 and easy to predict, gaps of insulators are not. Every tool of scikit-learn
# and MAPIE takes a data frame with one column of structures. 500 crystals are held out for the
# intervals.
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
# The network has two outputs, trained with the likelihood of a normal distribution. If the standard
# deviations are right, the errors divided by them have a root mean square of 1.
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
# There are three kinds:
#
# - *Normal distribution*: the mean ± a multiple of the predicted standard deviation.
# - *Conformal, one width*: MAPIE measures the errors on the held-out crystals and uses a width that
#   covers enough of them. All crystals have the same width.
# - *Conformal, width ∝ std*: MAPIE measures the errors divided by the predicted standard deviation.
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
# Coverage
# --------
# Left: crystals with a larger predicted standard deviation have larger errors. The highest point is
# solid helium, with a gap of 16.6 eV. No training crystal has helium, and the predicted standard
# deviation does not show that.
#
# Middle: the share of test crystals inside the intervals, against the promised share. The area
# between a curve and the diagonal is the mean deviation. The errors are not normally distributed,
# so the network alone covers too few crystals at high levels. Both conformal kinds hold on
# average.
#
# Right: intervals of one width cover the easy crystals always and the least certain crystals far
# too seldom. Widths proportional to the predicted standard deviation are more even, though not
# equal.
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
