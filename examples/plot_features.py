"""
Features for random forests
===========================

`UAETransformer` turns crystals into a feature matrix. The element table is one parameter, and a
grid search compares tables.
"""

# %%
# The crystals
# ------------
# The data frame has a column of pymatgen Structures, as in matminer. 400 crystals keep the example
# short.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skuae import UAETransformer, datasets

frame = datasets.load_mp_mini().frame.sample(400, random_state=0)
print(frame[["formation_energy_per_atom", "band_gap"]].describe().round(2))

# %%
# New columns of a data frame
# ---------------------------
# `featurize_dataframe` works as in matminer: it adds columns, with a progress bar for large frames.
featurized = UAETransformer("magpie", statistics=("mean", "max")).featurize_dataframe(
    frame, "structure", pbar=False
)
print(featurized.filter(like="Electronegativity").head(3))

# %%
# A step of a pipeline
# --------------------
# In a pipeline, the element table is a hyper-parameter like any other.
pipe = Pipeline(
    [
        ("uae", UAETransformer()),
        ("forest", RandomForestRegressor(max_features=0.3, random_state=0)),
    ]
)
tables = ["onehot", "random", "cgcnn", "magpie", "mat2vec", "megnet16", "ct-uae-mt"]
search = GridSearchCV(
    pipe, {"uae__embedding": tables}, scoring="neg_mean_absolute_error", cv=3, n_jobs=2
)
search.fit(frame["structure"], frame["formation_energy_per_atom"])

results = pd.DataFrame(search.cv_results_).set_index("param_uae__embedding")
error = -results["mean_test_score"].sort_values()
print(error.round(3))

# %%
# Each bar is the mean over three folds. The line is the standard deviation between the folds.
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.barh(error.index, error, xerr=results["std_test_score"][error.index], color="tab:blue")
ax.invert_yaxis()
ax.set_xlabel("mean absolute error of the formation energy (eV/atom)")
ax.set_title("Random forest on pooled element vectors, 400 crystals")
plt.show()
