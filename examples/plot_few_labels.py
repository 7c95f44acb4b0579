"""
300 labels
==========

:func:`skuae.crystal_pipeline` combines models that learn from few labels in different ways.
This example compares it with its parts and with the network that ships with skuae.
"""

# %%
# A few labels
# ------------
# Up to 300 band gaps of the bundled crystals are the labels. The shipped network ``"mp"`` has not
# seen the formulas of these crystals. It knows band gaps of others, so this case is an easy one for
# it: the page on 300 measurements has errors for properties that it has not learned.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error

from skuae import crystal_pipeline, datasets, pretrained

data = datasets.load_mp_mini(target="band_gap")
folds = datasets.FormulaKFold(4, random_state=0).split(data.structures)
pool, test = next(iter(folds))
order = np.random.default_rng(0).permutation(pool)

# %%
# The model and its parts
# -----------------------
# The Gaussian process reads the layers of the shipped network, and a line goes through its
# predictions. The network is also trained on with the labels. The trees read magpie features and
# symmetry, and CGCNN on ``ct-uae-mt`` is trained on the labels alone. The weights of these parts
# are learned on inner folds. Fewer epochs than by default keep this example short.
model = crystal_pipeline("regressor", n_labels=300, random_state=0)
model.set_params(network__max_epochs=40, trees__catboost__iterations=300)
print(model)

# %%
# Learning curves
# ---------------
# Each size is drawn once; other draws differ.
rows = []
X_test, y_test = data.structures[test], data.target[test]
for n in (50, 100, 300):
    X, y = data.structures[order[:n]], data.target[order[:n]]
    model.fit(X, y)
    parts = zip(model.named_estimators_, model.transform(X_test).T, strict=True)
    errors = {name: mean_absolute_error(y_test, found) for name, found in parts}
    errors["all together"] = mean_absolute_error(y_test, model.predict(X_test))
    errors["median"] = mean_absolute_error(y_test, np.full(len(test), np.median(y)))
    rows.append(errors)
    weights = model.final_estimator_.coef_.round(2).tolist()
    print(n, "labels, weights", dict(zip(model.named_estimators_, weights, strict=True)))
mp = pretrained.load("mp")
known = mp.predict(X_test)[:, mp.target_names_.index("band_gap")]
curves = pd.DataFrame(rows, index=pd.Index([50, 100, 300], name="labels"))
print(curves.round(3).to_string())
error_of_mp = mean_absolute_error(y_test, known)
print(f"mp alone {error_of_mp:.3f}")

# %%
# The picture
# -----------
# The line through the predictions of ``mp`` has most of the weight: both curves nearly agree.
figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
labels = {
    "gp": "Gaussian process on layers of mp",
    "outputs": "line through predictions of mp",
    "network": "CGCNN on ct-uae-mt",
}
for name in curves:
    style = {"color": "black", "linewidth": 2.5} if name == "all together" else {}
    style = {"color": "gray", "linestyle": ":"} if name == "median" else style
    style = {"linewidth": 7, "alpha": 0.6} if name == "outputs" else style
    ax.plot(curves.index, curves[name], marker="o", label=labels.get(name, name), **style)
ax.axhline(error_of_mp, color="gray", linestyle="--", label="mp without your labels")
ax.set(xscale="log", xlabel="labels", ylabel="mean absolute error (eV)")
ax.set_xticks(curves.index, curves.index)
ax.minorticks_off()
figure.legend(loc="outside upper center", ncols=2)
plt.show()
