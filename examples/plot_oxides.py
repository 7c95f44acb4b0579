"""
Oxides by class of their metal
==============================

Formation energies and band gaps of the bundled oxides, sorted by the class of the elements beside
oxygen, and how much of it a random sorting would give.
"""

# %%
# The published classes
# ---------------------
# A: groups 2 to 4 with lanthanides and actinides; B: groups 5 to 10; C: all others. Oxides that mix
# classes drop out, which most of them do; the counts say so.
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
# Classes at random
# -----------------
# The same elements dealt out into three classes of any kind. The share of the variance that class
# tells is what the classes are worth.
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
