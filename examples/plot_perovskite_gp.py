"""
Perovskites by a Gaussian process over their sites
==================================================

In a family of crystals where every atom has a known role, no graph is needed. A perovskite ABX3 is
told by the elements on its three kinds of sites, and its size. A Gaussian process compares
perovskites site by site, and learns formation energies in seconds.
"""

# %%
# Sites
# -----
# 465 perovskites of the Materials Project. X is the element with three atoms. The octahedral site B
# is nearer to X than A is. `get_table` gives each element its vector, of which eight principal axes
# are taken.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import cross_val_predict

from skuae import CrystalGNNRegressor, datasets
from skuae.analysis import ParityDisplay
from skuae.embedding import get_table

data = datasets.load_mp_perovskites()
X, y = data.structures, data.target


def roles(structure):
    """Return the elements on A, B and X, and the edge of a cube of the same volume."""
    amounts = structure.composition.get_el_amt_dict()
    anion = max(amounts, key=amounts.get)
    first, second = (i for i, site in enumerate(structure) if site.specie.symbol != anion)
    to_anions = [i for i, site in enumerate(structure) if site.specie.symbol == anion]
    near = structure.distance_matrix[[first, second]][:, to_anions].min(axis=1)
    a, b = (first, second) if near[0] > near[1] else (second, first)
    return (
        structure[a].specie.symbol,
        structure[b].specie.symbol,
        anion,
        structure.volume ** (1 / 3),
    )


sites = pd.DataFrame(map(roles, X.to_structures()), columns=["A", "B", "X", "edge"], index=X.ids)
print(sites.head(4).round(3).to_string())

table = get_table("ct-uae-mt").to_frame()
axes = pd.DataFrame(PCA(8).fit_transform(table), index=table.index)
features = np.hstack([axes.loc[sites[site]] for site in "ABX"] + [sites[["edge"]]])
features /= features.std(axis=0)

# %%
# A kernel, and a network beside it
# ---------------------------------
# The kernel is a product over sites and the edge, each with length scales of its own, which `fit`
# learns; that of an axis that does not matter grows without end. Errors are those of formulas that
# were held out, as are those of CGCNN with the same vectors.
scales = RBF(np.full(features.shape[1], 5.0), (1e-1, 1e5))
kernel = ConstantKernel(1.0, (1e-3, 1e6)) * scales + WhiteKernel(1e-2, (1e-9, 1.0))
process = GaussianProcessRegressor(kernel, normalize_y=True)
warnings.simplefilter("ignore", ConvergenceWarning)  # of length scales at their upper bound
network = CrystalGNNRegressor(embedding="ct-uae-mt", max_epochs=100, random_state=0)
folds = list(datasets.FormulaKFold(3, random_state=0).split(X))
predictions = {
    "Gaussian process over sites": cross_val_predict(process, features, y, cv=folds),
    "CGCNN": cross_val_predict(network, X, y, cv=folds),
}
predictions["mean of both"] = np.mean([*predictions.values()], axis=0)
errors = {"median": np.abs(y - np.median(y)).mean()}
errors |= {name: mean_absolute_error(y, found) for name, found in predictions.items()}
for name, error in errors.items():
    print(f"{name:28s} {error:.3f} eV/atom")

# %%
# Parity
# ------
# The network is better, but it took longer. Their errors differ: the mean absolute error of their
# mean is the smallest, while a few perovskites are far off for the process.
figure, panels = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for panel, (name, found) in zip(panels, predictions.items(), strict=True):
    display = ParityDisplay.from_predictions(y, found, quantity="formation energy", unit="eV/atom")
    display.plot(panel, name=name)
plt.show()

# %%
# Which site matters most?
# ------------------------
# A short length scale says that the energy changes fast along this axis of this site.
process.fit(features, y)
weights = 1 / process.kernel_.k1.k2.length_scale**2
weights = pd.Series(np.add.reduceat(weights, [0, 8, 16, 24]), index=["A", "B", "X", "edge"])
print((weights / weights.sum()).round(2).to_string())
