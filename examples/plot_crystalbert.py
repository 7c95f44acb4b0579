"""
Space groups as words: CrystalBERT
==================================

`CrystalBERT` reads a crystal as eight tokens: five words about its space group, the number of its
electrons, its composition, and the vector of a graph network that is trained along. Here it tells
metals from non-metals, beside CGCNN and beside trees that read the same words. Then we look at what
each token does.
"""

# %%
# The data
# --------
# Crystals of the Materials Project; a metal has a PBE gap of 0. No formula is in both parts.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from catboost import CatBoostClassifier
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import GroupShuffleSplit

from skuae import CrystalGNNClassifier, UAETransformer, analysis, datasets, models
from skuae.crystals import space_group_names

data = datasets.load_mp_mini(target="band_gap")
X, y = data.structures, np.where(data.target == 0, "metal", "non-metal")
groups = datasets.formula_groups(X)
train, test = next(GroupShuffleSplit(test_size=600, random_state=0).split(X, y, groups))
symmetry = X.symmetry()
print(pd.Series(symmetry.crystal_systems).value_counts().to_string())

# %%
# Three models
# ------------
# A few thousand labels are few for the published width of 256 and five layers; this network has
# 128 and three. Both networks start from the table ``ct-uae-mt``. The trees see statistics of
# elemental properties, and the same five words.
networks = {
    "CGCNN": "cgcnn",
    "CrystalBERT": models.CrystalBERT(d_model=128, n_layers=3, d_ff=512),
}
fitted = {
    name: CrystalGNNClassifier(backbone, embedding="ct-uae-mt", max_epochs=50, random_state=0).fit(
        X[train], y[train]
    )
    for name, backbone in networks.items()
}
features = pd.DataFrame(np.asarray(UAETransformer("magpie").fit_transform(X))).rename(columns=str)
for word, names in space_group_names().items():
    features[word] = names[symmetry.space_groups - 1]
trees = CatBoostClassifier(
    silent=True,
    random_seed=0,
    thread_count=1,
    allow_writing_files=False,
    cat_features=list(space_group_names()),
).fit(features.iloc[train], y[train])

probabilities = {name: gnn.predict_proba(X[test]) for name, gnn in fitted.items()}
probabilities["CatBoost, magpie + words"] = trees.predict_proba(features.iloc[test])
scores = pd.DataFrame(
    {
        name: {
            "balanced accuracy": balanced_accuracy_score(y[test], trees.classes_[p.argmax(axis=1)]),
            "log-loss": log_loss(y[test], p),
        }
        for name, p in probabilities.items()
    }
).T
print(scores.round(3).to_string())

# %%
# What the tokens add
# -------------------
# The last layer is linear in the outputs of the tokens, so that each has a share of the prediction:
# here of the log-odds of a non-metal. The shares and an intercept add up to the prediction exactly.
# Each output token has read the others, though: a share is not what would be lost without the
# token.
bert = fitted["CrystalBERT"]
figure, axes = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained", width_ratios=[1, 1.2])
analysis.TokenContributionsDisplay.from_estimator(bert, X[test]).plot(axes[0])
analysis.AttentionMapDisplay.from_estimator(bert, X[test]).plot(axes[1])
plt.show()

# %%
# Has it learned what a space group means?
# ----------------------------------------
# The value of a group is the sum of its five words, averaged over its crystals. It goes with the
# share of non-metals among them. So do the coefficients of a logistic regression that sees nothing
# but the groups ("one-hot" in the title), by construction: a network that knows the group learns
# this first. It is no insight into physics.
display = analysis.SpaceGroupValuesDisplay.from_estimator(
    bert, X, y, label="share of non-metals in the group", random_state=0
)
display.plot()
plt.show()
