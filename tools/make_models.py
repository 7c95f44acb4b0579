"""Train the models that come with the package.

    python tools/make_models.py --data ../shared/data --output runs          # all of them
    python tools/make_models.py --data ../shared/data --output runs --ship   # copy them

Materials Project crystals of `mp_merged_labels.parquet` and `mp_structures_part*.jsonl.gz`, without
the formulas of any test set: those of `make_ct_uae.py`. The validation rows of the MEGNet split are
left out, too; settings were chosen on them. Runs go on where they were stopped. The card of each
model has its errors on the held-out formulas of the MEGNet split's test rows.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from make_ct_uae import SOURCE, read
from scipy.stats import norm
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, datasets, pretrained

PACKAGE = Path(__file__).parents[1] / "skuae" / "pretrained" / "models"
UNITS = {
    "formation_energy_per_atom": "eV/atom",
    "band_gap": "eV",
    "efermi": "eV",
    "total_magnetization_per_atom": "Bohr magnetons/atom",
    "K_VRH": "GPa",
    "G_VRH": "GPa",
}
LOGS = ["K_VRH", "G_VRH"]
SHARED = {"backbone": "cgcnn", "embedding": "ct-uae-mt", "random_state": 0, "verbose": 0}
ESTIMATORS = {
    "mp": CrystalGNNRegressor(
        **SHARED, loss="gaussian_nll", log_targets=LOGS, max_epochs=100, batch_size=128
    ),
    "mp-metal": CrystalGNNClassifier(**SHARED, max_epochs=50, batch_size=128),
    "mp-topology": CrystalGNNClassifier(**SHARED, max_epochs=50, batch_size=128),
}
HALF_90 = norm.ppf(0.95)
LIMITS = """It was fitted to relaxed crystals and PBE: for a structure that is far from relaxed, and
for what PBE gets wrong, it is wrong too. Standard deviations hold for crystals similar to those it
has seen."""


def targets_of(name, labels):
    """Return what a model is to learn: a DataFrame, or labels with None where unknown."""
    if name == "mp":
        y = labels[list(UNITS)].astype(float).copy()
        for column in LOGS:  # a few moduli are 0 or below
            y[column] = y[column].where(y[column] > 0)
        return y
    if name == "mp-metal":
        gap = labels["band_gap"]
        return pd.Series(np.where(gap > 0, "non-metal", "metal"), labels.index).where(gap.notna())
    given = labels["topo_class_soc"]
    known = given.notna() & ~given.isin(["Unknown", ""])
    return pd.Series(np.where(given == "Triv_Ins", "trivial", "topological"), labels.index).where(
        known
    )


def split(crystals, labels, tests, validation):
    """Return rows to train on, to choose on and to score: no formula is in two of them."""
    held = np.any(
        [datasets.leaking_rows(crystals, part, by="formula") for part in tests.values()], 0
    )
    chosen = np.isin(crystals.ids, validation) & ~held
    leaks = held | datasets.leaking_rows(crystals, crystals[chosen], by="formula")
    test = np.flatnonzero(labels["megnet_split"].to_numpy() == "test")
    return np.flatnonzero(~leaks), np.flatnonzero(chosen), test


def notes(model, name, crystals, y, n_train):
    """Return the part of the card that tells data, errors and limits."""
    return "\n".join([
        "## Data", "", f"{SOURCE}. {n_train:,} crystals; formulas of the test sets of skuae are "
        "not among them. The data are CC BY 4.0.", "",
        "## Errors on held-out formulas", "", _errors(model, name, crystals, y), "",
        "## Limits", "", LIMITS,
    ])  # fmt: skip


def _errors(model, name, crystals, y):
    if name != "mp":
        known = y.notna().to_numpy()
        X, labels = crystals[known], y[known].to_numpy(dtype=str)
        p = model.predict_proba(X)
        predicted = model.classes_[p.argmax(axis=1)]
        return (
            f"{known.sum():,} crystals: {accuracy_score(labels, predicted):.1%} right, balanced "
            f"accuracy {balanced_accuracy_score(labels, predicted):.3f}, log-loss "
            f"{log_loss(labels, p, labels=model.classes_):.3f}."
        )
    mean, std = model.predict(crystals, return_std=True)
    systems = crystals.symmetry().crystal_systems
    lines = ["| target | crystals | mean absolute error | of the median | 90 % intervals hold |",
             "|---|---|---|---|---|"]  # fmt: skip
    by_system = {}
    for j, column in enumerate(y):
        true, m, s = y[column].to_numpy(), mean[:, j], std[:, j]
        known, unit = ~np.isnan(true), UNITS[column]
        if column in LOGS:
            true, m, s, unit = np.log10(true), np.log10(m), s / m / np.log(10), f"log10({unit})"
        error = np.abs(m - true)
        constant = np.abs(true[known] - np.median(true[known])).mean()
        inside = (error[known] <= HALF_90 * s[known]).mean()
        lines.append(
            f"| {column}, {unit} | {known.sum():,} | {error[known].mean():.4f} | {constant:.4f} | "
            f"{inside:.1%} |"
        )
        by_system[column] = pd.Series(error[known]).groupby(systems[known]).mean()
    table = pd.DataFrame(by_system).round(4)
    lines += ["", "By crystal system:", "", f"| system | {' | '.join(table)} |",
              "|---" * (1 + len(table.columns)) + "|"]  # fmt: skip
    lines += [f"| {system} | {' | '.join(map(str, row))} |"
              for system, row in zip(table.index, table.to_numpy(), strict=True)]  # fmt: skip
    return "\n".join(lines)


def main():
    """Train what is missing, or ship what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    crystals, labels, tests, validation = read(args.data)
    train, chosen, test = split(crystals, labels, tests, validation)
    for name in args.only:
        folder, y = args.output / name, targets_of(name, labels)
        if args.ship:
            shutil.copytree(folder, PACKAGE / name, dirs_exist_ok=True)
            continue
        if not (folder / "model.safetensors").exists():
            known = y.notna().to_numpy()
            rows = train[(known.any(axis=1) if y.ndim > 1 else known)[train]]
            model = ESTIMATORS[name].set_params(checkpoint_dir=args.output / "checkpoints")
            model.fit(crystals[rows], y.iloc[rows])
            model.save_pretrained(
                folder,
                units=UNITS if name == "mp" else None,
                license="cc-by-4.0",
                notes=notes(model, name, crystals[test], y.iloc[test], len(rows)),
            )
        model = pretrained.load(folder)
        print(name, "validation", _errors(model, name, crystals[chosen], y.iloc[chosen]), sep="\n")


if __name__ == "__main__":
    main()
