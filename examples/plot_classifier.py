"""
Classify metals and non-metals
==============================

`CrystalGNNClassifier` classifies crystals of the Materials Project. The baselines are the most
frequent class and a random forest on the composition. The example also shows class weights, and the
calibration of a network that was trained for too long.
"""

# %%
# The data
# --------
# A crystal counts as a metal if its PBE gap is 0. Labels may be strings. 500 crystals are held out
# for calibration and 600 for testing.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    balanced_accuracy_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNClassifier, UAETransformer, datasets

data = datasets.load_mp_mini(target="band_gap")
X, y = data.structures, np.where(data.target == 0, "metal", "non-metal")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=600, stratify=y, random_state=0)
X_train, X_held, y_train, y_held = train_test_split(
    X_train, y_train, test_size=500, stratify=y_train, random_state=0
)
print(f"{len(y_train)} crystals to train on, {np.mean(y_train == 'metal'):.0%} of them metals")

# %%
# Five models
# -----------
# The graph networks use early stopping: rows that they hold back decide the number of epochs. One
# of them has it switched off and trains for 50 epochs. `class_weight="balanced"` weights the
# classes as if both were equally frequent.
models = {
    "most frequent class": make_pipeline(UAETransformer("magpie"), DummyClassifier()),
    "random forest, composition": make_pipeline(
        UAETransformer("magpie"), RandomForestClassifier(n_estimators=500, random_state=0)
    ),
    "CGCNN": make_pipeline(
        UAETransformer("ct-uae-mt"), CrystalGNNClassifier(max_epochs=50, random_state=0)
    ),
    "CGCNN, balanced": make_pipeline(
        UAETransformer("ct-uae-mt"),
        CrystalGNNClassifier(class_weight="balanced", max_epochs=50, random_state=0),
    ),
    "CGCNN, 50 epochs": make_pipeline(
        UAETransformer("ct-uae-mt"),
        CrystalGNNClassifier(early_stopping=False, max_epochs=50, random_state=0),
    ),
}
for model in models.values():
    model.fit(X_train, y_train)
print(f"CGCNN stopped after {models['CGCNN'][-1].n_iter_} epochs")

# %%
# Calibration
# -----------
# `CalibratedClassifierCV` corrects the probabilities with the 500 held-out crystals. The
# `FrozenEstimator` keeps it from fitting the network again.
models["50 epochs, calibrated"] = CalibratedClassifierCV(
    FrozenEstimator(models["CGCNN, 50 epochs"])
)
models["50 epochs, calibrated"].fit(X_held, y_held)

probabilities = {name: model.predict_proba(X_test)[:, 1] for name, model in models.items()}
scores = pd.DataFrame(
    {
        name: {
            "ROC AUC": roc_auc_score(y_test, p),
            "balanced accuracy": balanced_accuracy_score(y_test, models[name].predict(X_test)),
            "log-loss": log_loss(y_test, p),
        }
        for name, p in probabilities.items()
    }
).T
print(scores.round(3).to_string())

# %%
# Classification errors
# ---------------------
# With 1,473 crystals, the random forest on the composition is a strong baseline. The two classes
# are almost equally frequent here, so class weights change little.
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for name in ["CGCNN", "random forest, composition"]:
    RocCurveDisplay.from_predictions(
        y_test,
        probabilities[name],
        pos_label="non-metal",
        name=name,
        plot_chance_level=name != "CGCNN",
        ax=axes[0],
    )
axes[0].set(xlabel="share of metals taken for non-metals", ylabel="share of non-metals found")
axes[0].legend(loc="lower right", fontsize="small")
for ax, name in zip(axes[1:], ["CGCNN", "CGCNN, balanced"], strict=True):
    ConfusionMatrixDisplay.from_estimator(
        models[name], X_test, y_test, cmap="Blues", colorbar=False, ax=ax
    )
    ax.set(title=name, xlabel="predicted", ylabel="true" if ax is axes[1] else None)
plt.show()

# %%
# Reliability of the probabilities
# --------------------------------
# Of the crystals with a probability of 0.8, 80 % should be non-metals: the diagonal. After 50
# epochs, the probabilities are overconfident and the curve is flat. Calibration moves it back to
# the diagonal and keeps the ranking of the crystals. The network with early stopping needs no
# calibration.
figure, ax = plt.subplots(figsize=(5.2, 5), layout="constrained")
for name, style in {
    "CGCNN": {"color": "tab:blue", "marker": "o"},
    "CGCNN, 50 epochs": {"color": "tab:red", "marker": "^"},
    "50 epochs, calibrated": {"color": "tab:orange", "marker": "s"},
}.items():
    CalibrationDisplay.from_predictions(
        y_test,
        probabilities[name],
        pos_label="non-metal",
        n_bins=8,
        strategy="quantile",
        name=f"{name} (log-loss {scores.loc[name, 'log-loss']:.2f})",
        ax=ax,
        **style,
    )
ax.set(xlabel="predicted probability of a non-metal", ylabel="share of non-metals")
ax.set_aspect("equal")
plt.show()
