"""
Invariance of a trained front-end
=================================

A CrystalTransformer reads raw coordinates and sees rotated copies in training. This example
measures how invariant it becomes. The baselines are pairs of different crystals and an untrained
network.
"""

# %%
# A small front-end
# -----------------
# One layer and a few epochs on 1,000 bundled crystals are enough to see the effect of training.
import matplotlib.pyplot as plt

from skuae import CrystalTransformerRegressor, datasets
from skuae.analysis import InvarianceDisplay, invariance_report

data = datasets.load_mp_mini()
front_end = CrystalTransformerRegressor(d_model=64, n_layers=1, max_epochs=6, random_state=0)
front_end.fit(data.structures[:1000], data.target[:1000])

# %%
# Four ways to write the same crystal
# -----------------------------------
# A cosine near 1 suggests invariance. But it is no evidence where different crystals, or an
# untrained network, have a cosine near 1 as well. The ratio of distances is evidence.
report = invariance_report(front_end, data.structures[-60:], n_repeats=4)
print(report.vectors.round(4).to_string())

# %%
# Filled markers are the trained network, open markers the untrained one. At 1, a crystal and its
# rotated copy are as far apart as two different crystals.
InvarianceDisplay.from_report(report).plot()
plt.show()
