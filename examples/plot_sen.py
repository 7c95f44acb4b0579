"""
Chemical environments: SEN
==========================

`SEN` gives every site a vector of its chemical environment, and sums these up in sixteen capsules.
Here it learns formation energies. Then we look at the environments themselves: which sites are
alike, and whether the network has learned the symmetry of crystals.
"""

# %%
# The data, and a fit
# -------------------
# Crystals of the Materials Project. No formula is in both parts.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupShuffleSplit

from skuae import CrystalGNNRegressor, analysis, datasets

data = datasets.load_mp_mini()
X, y = data.structures, data.target
groups = datasets.formula_groups(X)
split = GroupShuffleSplit(train_size=1500, test_size=600, random_state=0)
train, test = next(split.split(X, y, groups))
sen = CrystalGNNRegressor("sen", embedding="ct-uae-mt", max_epochs=30, random_state=0)
sen.fit(X[train], y[train])
errors = {
    "median of the training set": mean_absolute_error(
        y[test], np.full(len(test), np.median(y[train]))
    ),
    "SEN": mean_absolute_error(y[test], sen.predict(X[test])),
}
for name, error in errors.items():
    print(f"{name:28s} {error:.3f} eV/atom")

# %%
# A map of environments
# ---------------------
# `site_environments` returns one row per site. Here are the anions of the test crystals. Sites of
# one element lie together, since each vector starts from that of its element. Within an element,
# what surrounds a site decides.
environments = analysis.site_environments(sen, X[test])
anions = environments.index.get_level_values("element").isin(["F", "Cl", "O", "S", "Se", "N"])
display = analysis.SiteEnvironmentsDisplay.from_environments(environments[anions]).plot()
plt.show()

# %%
# Has it learned symmetry?
# ------------------------
# Sites that a symmetry of the crystal maps onto each other have equal environments in nearly all
# crystals (``equal``). So they have in a network with random weights: it follows from reading
# distances to whole shells of neighbours, and is no evidence of anything learned. Training does
# move sites of one element apart that symmetry does not connect (``apart``).
found = analysis.symmetry_scores(sen, X[test[:200]], random_state=0)
print(found.summary.round(3).to_string())

# %%
# Errors by crystal system
# ------------------------
errors = analysis.errors_by_crystal_system(y[test], sen.predict(X[test]), X[test])
print(errors.round(3).to_string())
