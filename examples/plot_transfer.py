"""
From one property to the next
=============================

Two hundred labels are few for a graph network. It can start from one that has learned something
else from other crystals: ``init_from=`` takes over all of it but the head. Whether that helps is a
question of the task, and here is how to ask it.
"""

# %%
# The data
# --------
# Formation energies of 2,573 crystals to learn from first; then perovskites, none of which has the
# formula of one of these: 200 with a label, the others to test on.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skuae import CrystalGNNRegressor, datasets

large = datasets.load_mp_mini(target="formation_energy_per_atom")
TARGETS = {"formation_energy_per_atom": "eV/atom", "band_gap": "eV"}
print(f"{len(datasets.load_mp_perovskites().target)} perovskites")

# %%
# Learn once
# ----------
# The network's own atom features are used, so that nothing but this training teaches it.
source = CrystalGNNRegressor(max_epochs=15, random_state=0)
source.fit(large.structures, large.target)

# %%
# Learn the rest, or learn anew
# -----------------------------
# The same splits, seeds and epochs for both. Targets are scaled anew, so that another unit or
# another property is no obstacle.
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
# What it is worth
# ----------------
# One line per split. The formation energy of perovskites is close to what was learned before, and
# every split gains. The gap is another matter: half a step better than the median of 200 labels
# either way, and what pre-training adds is no more than the difference between splits.
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
