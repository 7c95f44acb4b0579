"""
Atom contributions to a prediction
==================================

A network predicts a formation energy. This example splits the prediction into one contribution per
atom, first for one crystal, then averaged over each element in 600 test crystals.
"""

# %%
# A network with a mean over atoms
# --------------------------------
# ALIGNN ends with a mean over the atoms and a linear layer. So every atom has a contribution, and
# the contributions add up to the prediction. This network is small. Early stopping holds 240
# crystals back and trains for 1, 2, 3, 6 and 12 epochs (the points on the left). Then it trains on
# all 1,200.
import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skuae import CrystalGNNRegressor, datasets, models
from skuae.analysis import (
    AtomAttributionDisplay,
    LossCurveDisplay,
    ParityDisplay,
    PeriodicTableDisplay,
    attribute_atoms,
)

data = datasets.load_mp_mini()
X_train, X_test, y_train, y_test = train_test_split(
    data.structures, data.target, train_size=1200, test_size=600, random_state=0
)
small = models.ALIGNN(hidden_dim=48, n_alignn=1, n_gcn=2)
gnn = CrystalGNNRegressor(small, max_epochs=12, early_stopping=True, random_state=0)
gnn.fit(X_train, y_train)

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
LossCurveDisplay.from_estimator(gnn).plot(axes[0])
ParityDisplay.from_estimator(gnn, X_test, y_test, quantity="formation energy", unit="eV/atom").plot(
    axes[1], name="600 test crystals"
)
plt.show()

# %%
# One crystal
# -----------
# This is the first test crystal with the most elements. Symmetry-equivalent atoms have equal
# contributions. Atoms of one element at other sites have different ones.
found = attribute_atoms(gnn, X_test)
row = found.sites.groupby("row")["species"].nunique().idxmax()
print(X_test[row].reduced_formula, X_test.ids[row])
print(found.sites.loc[row].round(3).to_string())
AtomAttributionDisplay.from_attribution(found, row, unit="eV/atom").plot()
plt.show()

# %%
# All elements
# ------------
# The map shows the mean over the crystals that contain the element. Within a crystal, the sum over
# its atoms is divided by their fraction of all atoms, so large and small cells count the same.
# Fluorine, oxygen and the heavy alkaline earths lower the energy, as expected from chemistry.
# Carbon and the late transition metals lie above the mean of all crystals.
elements = found.elements
print(elements[elements["n"] >= 10].sort_values("mean").round(2).iloc[[0, 1, 2, -3, -2, -1]])
limit = elements["mean"].abs().max()
PeriodicTableDisplay.from_values(
    elements["mean"], label="contribution to the formation energy (eV/atom)"
).plot(cmap="RdBu_r", vmin=-limit, vmax=limit)
plt.show()

# %%
# Contributions by occlusion
# --------------------------
# Other networks do not end with a mean over atoms. For these, `attribute_atoms` replaces one atom
# after the other by an average atom and measures how far the prediction drops. This is another
# question and has other answers. Both methods explain the network, not the crystal.
occluded = attribute_atoms(gnn, X_test, method="occlusion").elements
rank = elements["mean"].corr(occluded["mean"], method="spearman")
print(f"rank correlation of the means of {len(elements)} elements, both methods: {rank:.2f}")
