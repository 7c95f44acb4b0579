"""
Predict crystals at once
========================

skuae ships with networks that were trained on the Materials Project. They predict crystals without
any training of yours. This example predicts ten CIF files, and checks the errors and the standard
deviations on crystals of formulas that the networks have not seen.
"""

# %%
# Ten files
# ---------
# The bundled crystals are known to none of the shipped networks. Ten of them become CIF files.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from skuae import datasets, pretrained
from skuae.analysis import ParityDisplay, UncertaintyCalibrationDisplay
from skuae.estimators import predict_frame

names = ["formation_energy_per_atom", "band_gap"]
data = datasets.load_mp_mini(target=names)
folder = Path(tempfile.mkdtemp())
for structure, number in zip(data.structures[:10].to_structures(), range(10), strict=True):
    structure.to(str(folder / f"{number}_{structure.reduced_formula}.cif"))
files = sorted(folder.glob("*.cif"))

# %%
# Two networks
# ------------
# ``"mp"`` predicts six properties, with standard deviations. Moduli come in GPa.
# ``"mp-metal"`` tells metals from insulators. In a shell: ``skuae predict mp *.cif``.
print(pretrained.names())
mp = pretrained.load("mp")
print(dict(zip(mp.target_names_, mp.target_units_, strict=True)))
table = predict_frame(mp, files)
table.index = [file.stem for file in files]
print(table.filter(regex="^(?!.*std).*(energy|gap|K_VRH)").round(2).to_string())
print(pretrained.load("mp-metal").predict(files))

# %%
# How good they are
# -----------------
# The card of a model says how it was trained, and its errors by property and crystal system. The
# first of its tables:
print(pretrained.card("mp").partition("## Errors")[2].partition("Mean absolute")[0])

# %%
# The same on the bundled crystals. Their formation energies come from a later release of the
# Materials Project with other corrections: releases differ by 0.046 eV/atom on average for crystals
# in both.
mean, std = mp.predict(data.structures, return_std=True)
for j, name in enumerate(names):
    off = np.abs(mean[:, j] - data.target[:, j])
    guess = np.abs(data.target[:, j] - np.median(data.target[:, j])).mean()
    print(f"{name}: mean absolute error {off.mean():.3f}, of the median {guess:.3f}")
truth = np.where(data.target[:, 1] > 0, "insulator", "metal")
found = pretrained.load("mp-metal").predict(data.structures)
print(f"metal or not: balanced accuracy {balanced_accuracy_score(truth, found):.3f}")

# %%
# Errors and standard deviations
# ------------------------------
# Left: most gaps are near the diagonal. Some metals are predicted to have a gap, and the other way
# round. Middle: the share of the gaps that lie in intervals of mean ± z standard deviations. Right:
# the error of the half that the network is surest of is far below that of all crystals.
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
gap, predicted = data.target[:, 1], mean[:, 1]
ParityDisplay.from_predictions(gap, predicted).plot(axes[0])
axes[0].set(xlabel="band gap (eV)", ylabel="predicted band gap (eV)", title="")
display = UncertaintyCalibrationDisplay.from_predictions(gap, predicted, std[:, 1])
display.plot(axes[1])
kept = np.argsort(std[:, 1])
errors = pd.Series(np.abs(gap - predicted)[kept]).expanding().mean()
share = np.arange(1, len(errors) + 1) / len(errors)
axes[2].plot(share[50:], errors[50:])
axes[2].set(xlabel="share of crystals kept, surest first", ylabel="mean absolute error (eV)")
plt.show()
