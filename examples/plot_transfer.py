"""
Transfer learning from another property
=======================================

Two hundred labels are few for a graph network. It can start from a network that was trained on
another property of other crystals: ``init_from=`` copies all of it but the head. Whether this helps
depends on the task. This example measures it for two.
"""

# %%
# The data
# --------
# Pre-training uses the formation energies of 2,573 crystals. The task is about perovskites of other
# formulas: 200 of them have a label, the others are the test set.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skuae import CrystalGNNRegressor, datasets

large = datasets.load_mp_mini(target="formation_energy_per_atom")
TARGETS = {"formation_energy_per_atom": "eV/atom", "band_gap": "eV"}
print(f"{len(datasets.load_mp_perovskites().target)} perovskites")

# %%
# Pre-training
# ------------
# The network uses its own atom features, so nothing but this training is transferred.
source = CrystalGNNRegressor(max_epochs=15, random_state=0)
source.fit(large.structures, large.target)

# %%
# Pre-trained or from scratch
# ---------------------------
# Both use the same splits, seeds and epochs. Targets are scaled again, so they may have another
# unit or be another property.
rows = []
for target in TARGETS:
    small = datasets.load_mp_perovskites(target=target)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(small.target))
        train, test = order[:200], order[200:]
        for how, start in (("from scratch", None), ("pre-trained", source)):
            model = CrystalGNNRegressor(init_from=start, max_epochs=30, random_state=seed)
            model.fit(small.structures[train], small.target[train])
            error = np.abs(model.predict(small.structures[test]) - small.target[test]).mean()
            rows.append((target, seed, how, error))
        guess = np.abs(np.median(small.target[train]) - small.target[test]).mean()
        rows.append((target, seed, "median of the 200", guess))
results = pd.DataFrame(rows, columns=["target", "seed", "how", "MAE"])
print(results.pivot_table(index="how", columns="target", values="MAE").round(3).to_string())

# %%
# Test errors
# -----------
# There is one line per split. The formation energy of perovskites is close to the first property,
# and every split gains. For the gap, both networks are only somewhat better than the median of the
# 200 labels, and pre-training gains no more than the difference between splits.
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
ways = ["median of the 200", "from scratch", "pre-trained"]
for ax, (target, unit) in zip(axes, TARGETS.items(), strict=True):
    table = results[results["target"] == target].pivot(index="seed", columns="how", values="MAE")
    for seed, marker in zip(table.index, "osD", strict=True):
        ax.plot(ways, table.loc[seed, ways], marker=marker, label=f"split {seed}")
    ax.set(title=target.replace("_", " "), ylabel=f"mean absolute error ({unit})", ylim=(0, None))
    ax.grid(axis="y", alpha=0.3)
axes[0].legend()
plt.show()
