"""
Compare element tables
======================

This example compares tables that were learned from crystals, learned from texts, and made by hand.
Two measures do not depend on the order of the dimensions. The third, dynamic time warping, does.
"""

# %%
# CKA and distances between elements
# ----------------------------------
# The measures are linear CKA and the rank correlation of the distances between elements (RSA). The
# numbers in brackets are those of unrelated tables. With 128 dimensions and 89 elements, CKA is far
# from zero even for noise.
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
# The published measure takes the mean embedding of each table, smooths it over the dimensions, and
# computes the cost of warping one into the other. But dimensions have no order. Shuffling the
# dimensions of one table keeps its information, and the cost stays the same. So the cost does not
# distinguish tables.
WarpingDisplay.from_comparison(found).plot()
plt.show()

print(found.pairs[["first", "second", "dtw", "dtw_null"]].round(4).to_string(index=False))

# %%
# Rotations
# ---------
# A rotated table has the same information: the first layer of a back-end can rotate it back. CKA
# and RSA call the two tables equal. Warping does not.
import numpy as np
from scipy.stats import ortho_group

from skuae import ElementTable
from skuae.embedding import get_table

table = get_table("megnet16")
rows = table.values[table.seen] @ ortho_group.rvs(table.n_dims, random_state=0)
turned = ElementTable(rows.astype(np.float32), table.symbols, name="megnet16, turned")
pair = compare_tables([table, turned], n_permutations=20).pairs.iloc[0]
print(pair[["cka", "procrustes", "rsa", "dtw", "dtw_null"]])
