"""
Quickstart: predict formation energies
======================================

This example trains a crystal graph network on 2,573 crystals of the Materials Project, which come
with skuae. The baselines are the mean of the training set and a random forest on the composition.
"""

# %%
# The data
# --------
# `structures` are crystals. A list, Series or data frame column of pymatgen Structures works as
# well. `target` is the formation energy in eV per atom.
import matplotlib.pyplot as plt
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skuae import CrystalGNNRegressor, UAETransformer, datasets
from skuae.analysis import ParityDisplay

data = datasets.load_mp_mini()
X_train, X_test, y_train, y_test = train_test_split(
    data.structures, data.target, test_size=0.2, random_state=0
)
print(f"{len(y_train)} crystals to train on, {len(y_test)} to test on")

# %%
# Three models
# ------------
# `UAETransformer` looks up a vector for every atom and pools the vectors of a crystal into features
# for any scikit-learn regressor. `CrystalGNNRegressor` takes the structures and the element table
# from it, not the pooled features, and learns on the crystal graph.
models = {
    "mean of the training set": make_pipeline(UAETransformer("magpie"), DummyRegressor()),
    "random forest, composition only": make_pipeline(
        UAETransformer("magpie"), RandomForestRegressor(n_jobs=-1, random_state=0)
    ),
    "CGCNN on ct-uae-mt": make_pipeline(
        UAETransformer("ct-uae-mt"),
        CrystalGNNRegressor(max_epochs=50, random_state=0, verbose=1),
    ),
}
predictions = {}
for name, model in models.items():
    predictions[name] = model.fit(X_train, y_train).predict(X_test)

print("\nmean absolute error on the test crystals, eV/atom")
for name, y_pred in predictions.items():
    print(f"  {name:32s} {mean_absolute_error(y_test, y_pred):.3f}")

# %%
# Parity plot
# -----------
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
for ax, name in zip(axes, list(models)[1:], strict=True):
    ParityDisplay.from_predictions(
        y_test, predictions[name], quantity="formation energy", unit="eV/atom"
    ).plot(ax, name=name)
figure.savefig("parity.png", dpi=150)
print("parity plot written to parity.png")
plt.show()
