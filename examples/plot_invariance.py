"""
Does a front-end know that a turned crystal is the same crystal?
================================================================

A CrystalTransformer reads raw coordinates. Training shows it turned copies; how far that goes is
measured here, beside two baselines.
"""

# %%
# A small front-end
# -----------------
# One layer, a few epochs on 1,000 bundled crystals: enough to see the effect of training.
import matplotlib.pyplot as plt

from skuae import CrystalTransformerRegressor, datasets
from skuae.analysis import InvarianceDisplay, invariance_report

data = datasets.load_mp_mini()
front_end = CrystalTransformerRegressor(d_model=64, n_layers=1, max_epochs=6, random_state=0)
front_end.fit(data.structures[:1000], data.target[:1000])

# %%
# Four ways to write down the same crystal
# ----------------------------------------
# A cosine near one sounds like invariance. It stands beside that of different crystals, and beside
# a network that has learned nothing: where those are near one as well, the cosine is no evidence.
# The ratio of distances is.
report = invariance_report(front_end, data.structures[-60:], n_repeats=4)
print(report.vectors.round(4).to_string())

# %%
# Filled markers are the trained network, open ones the untrained one. At 1, a crystal and its
# turned copy are as far apart as two different crystals.
InvarianceDisplay.from_report(report).plot()
plt.show()
