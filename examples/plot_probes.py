"""
Predict element properties from element vectors
===============================================

Boosted trees learn a property of some elements from their vectors and predict it for others. Random
vectors are the control.
"""

# %%
# Scores of all splits
# --------------------
# A split leaves out about 17 elements. These are few, so R² differs widely between splits. The
# best split says more about the split than about the vectors. Look at the mean, and at random
# vectors for comparison.
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
# `magpie` has radius, melting temperature and electronegativity as columns. So it is an upper
# limit, not a finding. The same holds for every table that was learned with such properties as
# input. The card of a table names them:
print(get_table("ct-uae-mt").metadata["params"].get("element_features", "none"))

# %%
# Important dimensions
# --------------------
# The figure shows the mean absolute SHAP value of every dimension. Dimensions of learned vectors
# have no meaning: training with another seed gives others.
ProbeDisplay.from_probe(probe).plot(kind="importances")
plt.show()
print(probe.top_dims.round(2).to_string())
