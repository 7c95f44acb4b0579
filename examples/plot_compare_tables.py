"""
How alike are two element tables?
=================================

Tables that were learned from crystals, from texts and made by hand, compared by measures that do
not depend on the order of dimensions, and by one that does.
"""

# %%
# Measures that mean something
# ----------------------------
# Linear CKA, and the rank correlation of distances between elements (RSA). In brackets is what
# tables give that have nothing in common: with 128 dimensions and 89 elements, CKA is far from zero
# even for noise.
import matplotlib.pyplot as plt

from skuae.analysis import TableSimilarityDisplay, WarpingDisplay, compare_tables

found = compare_tables(
    ["ct-uae-mt", "megnet16", "magpie", "mat2vec", "random"], n_permutations=20, random_state=0
)
figure, axes = plt.subplots(1, 2, figsize=(13.5, 5.6), layout="constrained")
display = TableSimilarityDisplay.from_comparison(found)
display.plot(axes[0], measure="cka")
display.plot(axes[1], measure="rsa")
plt.show()

# %%
# Dynamic time warping
# --------------------
# As published: the mean embedding of each table, smoothed over its dimensions, and the cost of
# warping one into the other. But dimensions have no order. Shuffling those of one table changes
# nothing in it, and the cost stays what it was: it does not tell tables apart.
WarpingDisplay.from_comparison(found).plot()
plt.show()

print(found.pairs[["first", "second", "dtw", "dtw_null"]].round(4).to_string(index=False))

# %%
# Rotations
# ---------
# The same numbers, turned: a change that no back-end would notice, since its first layer turns them
# back. The measures above call the tables equal, warping does not.
import numpy as np
from scipy.stats import ortho_group

from skuae import ElementTable
from skuae.embedding import get_table

table = get_table("megnet16")
rows = table.values[table.seen] @ ortho_group.rvs(table.n_dims, random_state=0)
turned = ElementTable(rows.astype(np.float32), table.symbols, name="megnet16, turned")
pair = compare_tables([table, turned], n_permutations=20).pairs.iloc[0]
print(pair[["cka", "procrustes", "rsa", "dtw", "dtw_null"]])
