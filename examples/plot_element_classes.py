"""
Cluster elements by their vectors
=================================

This example maps the vectors of an element table to a plane and clusters them. The same procedure
runs on random numbers, as a control.
"""

# %%
# A map
# -----
# UMAP maps the vectors of 88 elements to a plane, and k-means clusters them there. The table was
# learned from crystals alone, without known properties of the elements. Two seeds and few numbers
# of clusters keep the example short. By default, `cluster_elements` uses five seeds and up to ten
# clusters. The name of any other table, such as ``"ct-uae-mt"``, works as well.
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
# The number of classes, with controls
# ------------------------------------
# UMAP finds groups in any data. So the figure also shows three kinds of tables without classes. A
# best number of clusters means nothing if random numbers have the same one. Look at the distance
# between the solid line and the others, above all in the full table, which UMAP has not changed.
ClusterCurveDisplay.from_clusters(found).plot()
plt.show()

at_k = found.curves[found.curves["k"] == found.n_clusters]
print(f"best number of clusters in the table: {found.k_silhouette}")
print(at_k.groupby("data")[["silhouette", "silhouette_table"]].mean().round(3))

# %%
# On the periodic table
# ---------------------
# The first map shows the classes. The second shows a number for every element, here the distance of
# its vector from the mean of all.
PeriodicTableDisplay.from_labels(found.labels).plot()
plt.show()

vectors = get_table("ct-uae-plain").to_frame()
PeriodicTableDisplay.from_values(
    (vectors - vectors.mean()).pow(2).sum(axis=1) ** 0.5, label="distance to the mean vector"
).plot()
plt.show()

# %%
# Pairs of elements
# -----------------
# This map needs no plane and no number of clusters. It shows the cosine between the vectors of the
# elements up to Xe, after the mean of all is subtracted. A tree orders the elements.
SimilarityDisplay.from_table((vectors - vectors.mean()).loc[:"Xe"]).plot()
plt.show()

print(get_table("ct-uae-plain").most_similar("Fe", metric="euclidean"))
