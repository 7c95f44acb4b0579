"""
Which atoms make a prediction?
==============================

The formation energy that a network predicts, split into what each atom adds to it, for one crystal;
and into elements, over 600 crystals that it has not seen.
"""

# %%
# A network whose answer is a mean over atoms
# -------------------------------------------
# ALIGNN ends with a mean over the atoms and a linear layer, so that every atom has a share of its
# own, and the shares add up to the prediction. A small one is enough here. Early stopping holds 240
# crystals back and trains for 1, 2, 3, 6 and 12 epochs (the points on the left), then on all 1,200.
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
# The first test crystal with the most kinds of elements. Atoms that are equal by symmetry have
# equal shares, and atoms of one element in different places have different ones.
found = attribute_atoms(gnn, X_test)
row = found.sites.groupby("row")["species"].nunique().idxmax()
print(X_test[row].reduced_formula, X_test.ids[row])
print(found.sites.loc[row].round(3).to_string())
AtomAttributionDisplay.from_attribution(found, row, unit="eV/atom").plot()
plt.show()

# %%
# All elements
# ------------
# For each element, the mean over the crystals that have it. What counts is the sum over its atoms
# divided by their share of all atoms, so that large cells count no more than small ones. Fluorine,
# oxygen and the heavy alkaline earths pull the energy down, as a chemist would have said; carbon
# and the late transition metals lie above the mean of all crystals.
elements = found.elements
print(elements[elements["n"] >= 10].sort_values("mean").round(2).iloc[[0, 1, 2, -3, -2, -1]])
limit = elements["mean"].abs().max()
PeriodicTableDisplay.from_values(
    elements["mean"], label="contribution to the formation energy (eV/atom)"
).plot(cmap="RdBu_r", vmin=-limit, vmax=limit)
plt.show()

# %%
# Another way to ask
# ------------------
# Other networks have no such shares. For these, `attribute_atoms` makes one atom after the other an
# average one and looks how far the prediction drops. That is another question, with other answers:
# both tell what the network does, and neither what nature does.
occluded = attribute_atoms(gnn, X_test, method="occlusion").elements
rank = elements["mean"].corr(occluded["mean"], method="spearman")
print(f"rank correlation of the means of {len(elements)} elements, both ways: {rank:.2f}")
