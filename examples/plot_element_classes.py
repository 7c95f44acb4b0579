"""
Do element vectors fall into classes?
=====================================

Element vectors on a plane, their clusters, and what the same procedure finds in numbers that know
nothing about elements.
"""

# %%
# A map
# -----
# UMAP lays the vectors of 88 elements out on a plane; k-means sorts them there. The table was
# learned from crystals alone, without known properties of the elements. Two seeds and a few numbers
# of clusters keep this example short; `cluster_elements` takes five seeds and up to ten clusters if
# nothing is said. ``"ct-uae-mt"`` or the name of any other table goes in the same way.
import matplotlib.pyplot as plt

from skuae.analysis import (
    ClusterCurveDisplay,
    ElementMapDisplay,
    PeriodicTableDisplay,
    SimilarityDisplay,
    cluster_elements,
)
from skuae.embedding import get_table

found = cluster_elements("ct-uae-plain", k_range=range(2, 7), n_seeds=2, random_state=0)
ElementMapDisplay.from_clusters(found).plot()
plt.show()

# %%
# How many classes, beside noise
# ------------------------------
# UMAP makes groups of anything. The curves of three kinds of tables without classes stand beside
# those of the table: that a number of clusters is best means nothing where noise says the same.
# What counts is the distance between the solid line and the others, most of all in the full table,
# where UMAP has no say.
ClusterCurveDisplay.from_clusters(found).plot()
plt.show()

at_k = found.curves[found.curves["k"] == found.n_clusters]
print(f"best number of clusters in the table: {found.k_silhouette}")
print(at_k.groupby("data")[["silhouette", "silhouette_table"]].mean().round(3))

# %%
# On the periodic table
# ---------------------
# The classes, and a number for every element: here how far its vector is from the mean of all.
PeriodicTableDisplay.from_labels(found.labels).plot()
plt.show()

vectors = get_table("ct-uae-plain").to_frame()
PeriodicTableDisplay.from_values(
    (vectors - vectors.mean()).pow(2).sum(axis=1) ** 0.5, label="distance to the mean vector"
).plot()
plt.show()

# %%
# All pairs
# ---------
# No plane and no number of clusters: the cosine between all vectors, their mean taken out, ordered
# by a tree.
SimilarityDisplay.from_table(vectors - vectors.mean()).plot()
plt.show()

print(get_table("ct-uae-plain").most_similar("Fe", metric="euclidean"))
