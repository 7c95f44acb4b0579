"""
What do element vectors say about radius and melting point?
===========================================================

Trees learn properties of some elements from their vectors and are asked about others, beside
vectors that know nothing.
"""

# %%
# Scores, all of them
# -------------------
# About 17 elements are left out at a time, so few that R² differs widely from split to split. The
# best split says more about the split than about the vectors; the mean says it better, and random
# vectors say what zero is.
import matplotlib.pyplot as plt
from sklearn.model_selection import RepeatedKFold

from skuae.analysis import ProbeDisplay, probe_elements
from skuae.embedding import get_table

properties = ["atomic_radius", "melting_point", "electronegativity"]
probe = probe_elements(
    "megnet16",
    properties,
    controls=["random", "magpie"],
    cv=RepeatedKFold(n_splits=5, n_repeats=2, random_state=0),
)
print(probe.summary.round(2).to_string())
ProbeDisplay.from_probe(probe).plot()
plt.show()

# %%
# `magpie` holds radius, melting temperature and electronegativity as columns: it is the ceiling,
# not a discovery. The same is true of every table that was learned with such properties as input.
# Its card tells whether it was:
print(get_table("ct-uae-mt").metadata["params"].get("element_features", "none"))

# %%
# Dimensions that matter
# ----------------------
# The mean absolute SHAP value of every dimension. Dimensions of learned vectors have no names: the
# same training with another seed gives others, so that a number of a dimension is no finding.
ProbeDisplay.from_probe(probe).plot(kind="importances")
plt.show()
print(probe.top_dims.round(2).to_string())
