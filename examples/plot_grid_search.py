"""
Grid search over back-ends and element tables
=============================================

The back-end, the element table and its freezing are parameters of one pipeline. One `GridSearchCV`
compares them in two processes. pandas and matplotlib show its `cv_results_`.
"""

# %%
# The pipeline
# ------------
# `UAETransformer` provides the element table. `CrystalGNNRegressor` takes the table and trains on
# the crystal graphs. 400 crystals and ten epochs keep the example short. The ranking is a first
# look, not a study.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skuae import CrystalGNNRegressor, UAETransformer, datasets, models

data = datasets.load_mp_mini()
rows = np.random.default_rng(0).choice(len(data.target), 400, replace=False)
X, y = data.structures[rows], data.target[rows]

pipe = Pipeline(
    [
        ("uae", UAETransformer()),
        ("gnn", CrystalGNNRegressor(max_epochs=10, batch_size=16, random_state=0)),
    ]
)

# %%
# The grid
# --------
# A back-end is a name, or an object of `skuae.models` with parameters, here a small ALIGNN. Single
# parameters can be keys, too: with `CrystalGNNRegressor(models.CGCNN())` in the pipeline,
# ``gnn__backbone__cutoff`` is one.
small_alignn = models.ALIGNN(n_alignn=2, n_gcn=2, hidden_dim=64)
grid = {
    "gnn__backbone": ["cgcnn", "megnet", small_alignn],
    "uae__embedding": ["onehot", "cgcnn", "ct-uae-mt"],
    "gnn__freeze_embedding": [False, True],
}
search = GridSearchCV(pipe, grid, scoring="neg_mean_absolute_error", cv=2, n_jobs=2)
search.fit(X, y)
print(f"{len(search.cv_results_['params'])} settings, the best: {search.best_params_}")

# %%
# The results as a table
# ----------------------
# The columns ``param_*`` are named after the keys of the grid.
names = {
    "param_gnn__backbone": "back-end",
    "param_uae__embedding": "element vectors",
    "param_gnn__freeze_embedding": "frozen",
}
results = pd.DataFrame(search.cv_results_).rename(columns=names)
results["MAE (eV/atom)"] = -results["mean_test_score"]
results["fit time (s)"] = results["mean_fit_time"]
results["back-end"] = results["back-end"].astype(str)
shown = [*names.values(), "MAE (eV/atom)", "fit time (s)"]
table = results[shown].sort_values("MAE (eV/atom)")
print(table.round(3).to_string(index=False))

# %%
# The results as a heat map
# -------------------------
# Dark cells have small errors. Frozen one-hot rows are no handicap: the first layer of the network
# turns them into vectors that it learns.
titles = {"cgcnn": "CGCNN", "megnet": "MEGNet", str(small_alignn): "small ALIGNN"}
results["back-end"] = results["back-end"].map(titles)
errors = results.pivot(
    index=["frozen", "back-end"], columns="element vectors", values="MAE (eV/atom)"
)[grid["uae__embedding"]]
low, high = errors.to_numpy().min(), errors.to_numpy().max()
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True, layout="constrained")
for ax, frozen in zip(axes, grid["gnn__freeze_embedding"], strict=True):
    panel = errors.loc[frozen].loc[list(titles.values())]
    image = ax.imshow(panel, cmap="viridis", vmin=low, vmax=high)
    for (i, j), error in np.ndenumerate(panel.to_numpy()):
        color = "black" if error > (low + high) / 2 else "white"
        ax.text(j, i, f"{error:.3f}", ha="center", va="center", color=color)
    ax.set_xticks(range(panel.shape[1]), panel.columns)
    ax.set_yticks(range(panel.shape[0]), panel.index)
    ax.set_title("frozen element vectors" if frozen else "tuned element vectors")
figure.colorbar(image, ax=axes, label="mean absolute error (eV/atom)", shrink=0.85)
figure.suptitle("Formation energy, 200 crystals to train on")
plt.show()
