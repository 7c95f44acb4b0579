"""
Oxides by class of their metal
==============================

This example groups the bundled oxides by the class of their other elements and compares formation
energies and band gaps. Random classes are the control.
"""

# %%
# The published classes
# ---------------------
# Class A has groups 2 to 4 with lanthanides and actinides, B has groups 5 to 10, and C has all
# others. Oxides that mix classes are left out. These are most of them, as the counts show.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pymatgen.core import Element

from skuae import datasets
from skuae.analysis import OxideDisplay, oxide_distributions

data = datasets.load_mp_mini()
oxides = oxide_distributions(data)
print(oxides.counts.to_string())
OxideDisplay.from_distributions(oxides).plot()
plt.show()

print(oxides.summary[["n", "q25", "q50", "q75", "share_zero"]].round(2).to_string())


# %%
# Random classes
# --------------
# The control puts the elements into three classes at random. Compare the share of the variance that
# the classes explain.
def share(classes):
    """Return the share of the variance of each property that lies between classes."""
    frame = oxide_distributions(data, classes).frame
    means = frame.groupby("class", observed=True).transform("mean")
    return means.var(ddof=0) / frame.drop(columns="class").var(ddof=0)


print("published:", share("published").round(2).to_dict())

rng = np.random.default_rng(0)
symbols = [Element.from_Z(z).symbol for z in range(1, 119)]
random = pd.DataFrame(
    [share(dict(zip(symbols, rng.choice(list("ABC"), 118), strict=True))) for _ in range(20)]
)
print("at random:", random.mean().round(2).to_dict(), "at most", random.max().round(2).to_dict())
