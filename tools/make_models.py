"""Train the models that ship with skuae, measure them, and write their folders.

    python tools/make_models.py --data ../shared/data --output runs                # train all
    python tools/make_models.py --data ../shared/data --output runs --only mp      # or one
    python tools/make_models.py --data ../shared/data --output runs --finish       # and ship

Crystals of `mp_merged_labels.parquet` and `mp_structures_part*.jsonl.gz`, without the formulas of
any test set: the bundled data sets, the test rows of the MEGNet split, matbench_perovskites, and
the perovskites of OQMD, of the Materials Project and of hybrid organic-inorganic kind. The formulas
of the validation rows of the MEGNet split are left out, too: they calibrate the standard
deviations. "mp-energy-gap" also learns what two teachers predict for the crystals without labels of
`mp_unlabelled_part*.jsonl.gz`, but for the same formulas. A training that is there is not repeated,
and one that was stopped goes on.
"""

import argparse
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _model_cards import LEARNED, card_of_classifier, card_of_regressor, data_of

from skuae import CrystalGNNClassifier, CrystalGNNRegressor, Crystals, datasets, models
from skuae._elements import atomic_number
from skuae._version import __version__
from skuae.commands._model import digest_of
from skuae.commands._scores import write_notes
from skuae.estimators import load_pretrained

HOLD_OUT = ("mp20_mini", "matbench_perovskites", "mp_perovskite", "oqmd_perovskite",
            "hoip_nakajima")  # fmt: skip
MAX_SITES = 100  # of training crystals
TARGETS = {
    "formation_energy_per_atom": "eV/atom",
    "band_gap": "eV",
    "efermi": "eV",
    "total_magnetization_per_atom": "Bohr magnetons/atom",
    "K_VRH": "GPa",
    "G_VRH": "GPa",
}
MODULI = ["K_VRH", "G_VRH"]
# The targets that most crystals have. A network of these alone learns them better.
ENERGY_GAP = ["formation_energy_per_atom", "band_gap"]
# Weights of the 5 % of the rows that have moduli; others count 1.
WEIGHTS_OF_MODULI = {"mp": 5.0, "teacher-2": 3.0}

PACKAGE = Path(__file__).parents[1] / "skuae" / "pretrained" / "models"
# Networks that never saw a property: what crystal_pipeline is measured with; they do not ship.
WITHOUT = {
    "without-formation-energy": ["formation_energy_per_atom"],
    "without-gap": ["band_gap"],
    "without-moduli": MODULI,
}
CLASSES = {"mp-metal": "metallicity", "mp-topology": "topology"}  # names of their targets
SHIPPED = ("mp", "mp-energy-gap", *CLASSES)
# The mean of their predictions labels further crystals for "mp-energy-gap"; they do not ship.
TEACHERS = ("teacher-1", "teacher-2")
EPOCHS = {"teacher-1": 60, "teacher-2": 40, "mp": 40, "mp-energy-gap": 14, "mp-metal": 4,
          "mp-topology": 4}  # fmt: skip
STARTS = {"teacher-2": "teacher-1", "mp-energy-gap": "teacher-1", "mp-metal": "mp-energy-gap",
          "mp-topology": "mp"}  # fmt: skip


def estimator_of(name, output):
    """Return a model that is not fitted."""
    common = {
        "embedding": "ct-uae-mt",
        "embedding_lr_ratio": 1.0,
        "batch_size": 128,
        "init_from": output / STARTS[name] if name in STARTS else None,
        "random_state": 1 if name == "teacher-1" else 0,
        "checkpoint_dir": output / f"{name}-checkpoints",
        "verbose": 1,
    }
    if name in CLASSES:
        return CrystalGNNClassifier(
            models.GatedGCN(),
            class_weight="balanced" if name == "mp-metal" else None,
            early_stopping=False,
            max_epochs=EPOCHS[name],
            lr=1e-3,
            **common,
        )
    logs = [target for target in MODULI if target in targets_of_network(name)]
    return CrystalGNNRegressor(
        models.GatedGCN(),
        max_epochs=EPOCHS.get(name, 12),
        weight_decay=1e-2,
        loss="laplace_nll",
        log_targets=logs or None,
        **common,
    )


def targets_of_network(name):
    """Return the targets of a network of several."""
    if name in ("teacher-1", "mp-energy-gap"):
        return ENERGY_GAP
    return [target for target in TARGETS if target not in WITHOUT.get(name, [])]


def read(data):
    """Return crystals, labels, and the rows to learn from, to calibrate by and to score."""
    crystals = _read_parts(data, "mp_structures")
    labels = pd.read_parquet(data / "mp_merged_labels.parquet").set_index("id").loc[crystals.ids]
    split = labels["megnet_split"].to_numpy()
    test = split == "test"
    held = _with_formulas_of(crystals, _held_out(data), crystals[test])
    validation = (split == "val") & ~held
    train = ~held & ~_with_formulas_of(crystals, crystals[validation])
    train &= crystals.sizes <= MAX_SITES
    return crystals, labels, *map(np.flatnonzero, (train, validation, test))


def read_further(data, crystals, rows):
    """Return crystals without labels that have no formula of the rows to calibrate by or score."""
    further = _read_parts(data, "mp_unlabelled")
    return further[~_with_formulas_of(further, _held_out(data), crystals[rows])]


def _read_parts(data, name):
    parts = [datasets.read_file(path) for path in sorted(data.glob(f"{name}_part*.jsonl.gz"))]
    return Crystals.concatenate([part.structures for part in parts])


def _held_out(data):
    """Return the crystals of test sets."""
    tests = [datasets.read_file(data / f"{name}.jsonl.gz").structures for name in HOLD_OUT]
    return Crystals.concatenate([*tests, datasets.load_mp_perovskites().structures])


def _with_formulas_of(crystals, *others):
    """Tell which crystals have the formula of another one."""
    groups = datasets.formula_groups(Crystals.concatenate([crystals, *others]))
    ours, theirs = np.split(groups, [len(crystals)])
    return np.isin(ours, theirs)


def targets_of(name, labels):
    """Return what a model learns: targets, NaN where unknown, or labels, None where unknown."""
    if name not in CLASSES:
        y = labels[list(TARGETS)].astype(float)
        y[MODULI] = y[MODULI].where(y[MODULI] >= 1)  # the rest, 1 % of them, is not physical
        return y[targets_of_network(name)]
    if name == "mp-metal":
        gap = labels["band_gap"].to_numpy(dtype=float)
        return np.where(np.isnan(gap), None, np.where(gap > 0, "insulator", "metal"))
    known = labels["topo_class_soc"].fillna("Unknown").to_numpy(dtype=object)
    classes = np.where(known == "Triv_Ins", "trivial", "topological")
    return np.where(known == "Unknown", None, classes)


def known_rows(y):
    """Tell which rows have a label."""
    return pd.DataFrame(y).notna().any(axis=1).to_numpy()


def predictions_of_teachers(output, crystals):
    """Return formation energies and gaps, shape (n_crystals, 2): the mean of the teachers'."""
    predicted = []
    for name in TEACHERS:
        teacher = load_pretrained(output / name)
        table = pd.DataFrame(teacher.predict(crystals), columns=teacher.target_names_)
        predicted.append(table[ENERGY_GAP])
    return sum(predicted) / len(predicted)


def finish(name, model, crystals, labels, rows):
    """Calibrate and measure a model, and write its folder in the package."""
    train, validation, test = rows
    y = targets_of(name, labels)
    known = known_rows(y)
    train, validation, test = (part[known[part]] for part in rows)
    if name in CLASSES:
        errors, notes = card_of_classifier(model, crystals[test], y[test].astype(str))
        units = None
    else:
        model.calibrate_std(crystals[validation], y.iloc[validation])
        errors, notes = card_of_regressor(model, crystals[test], y.iloc[test], y.iloc[train])
        units = {target: TARGETS[target] for target in y}
    folder = PACKAGE / name
    counts = f"{len(train):,} training crystals of at most {MAX_SITES} sites; "
    counts += f"{len(validation):,} crystals for calibration; " if units else ""
    elements = model.network_.elements  # those of the table that no training crystal has
    unseen = [s for s in elements.table.symbols if not elements.seen[atomic_number(s) - 1]]
    start = STARTS.get(name)
    if start is not None:
        start = "one of the two networks" if start in TEACHERS else f"the network {start}"
    source = data_of(name, targets_of_network(name), start, unseen)
    about = f"## Data\n\n{counts}{len(test):,} test crystals.\n\n{source}"
    notes = "\n\n".join([LEARNED[name], notes, about])
    model.save_pretrained(folder, units=units, license="cc-by-4.0", dtype="float16", notes=notes)
    card = folder / "README.md"
    card.write_text(card.read_text().replace("path/of/this/folder", name))
    versions = {"skuae": __version__, "torch": torch.__version__,
                "python": platform.python_version()}  # fmt: skip
    facts = {"training_rows": len(train), "errors": errors, "versions": versions}
    write_notes(folder, facts | {"model_sha256": digest_of(folder)})
    print(name, errors, sep="\n", flush=True)


def main():
    """Train what is missing, or ship what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[*TEACHERS, *SHIPPED, *WITHOUT])
    parser.add_argument("--finish", action="store_true", help="measure and ship what is trained")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    crystals, labels, *rows = read(args.data)
    if args.finish:
        for name in args.only or SHIPPED:
            model = load_pretrained(args.output / name)
            finish(name, model, crystals, labels, rows)
        return
    train = rows[0]
    for name in args.only or [*TEACHERS, *SHIPPED, *WITHOUT]:
        if (args.output / name).exists():
            continue
        y = targets_of(name, labels)
        taken = train[known_rows(y)[train]]
        print(f"{name}: {len(taken)} crystals", flush=True)
        model = estimator_of(name, args.output)
        if name in CLASSES:
            y = pd.Series(y[taken].astype(str), name=CLASSES[name])
        else:
            y = y.iloc[taken]
        X, weights = crystals[taken], None
        if name in WEIGHTS_OF_MODULI:
            weights = np.where(known_rows(y[MODULI]), WEIGHTS_OF_MODULI[name], 1.0)
        if name == "mp-energy-gap":
            further = read_further(args.data, crystals, np.concatenate(rows[1:]))
            X = Crystals.concatenate([X, further])
            y = pd.concat([y, predictions_of_teachers(args.output, further)], ignore_index=True)
            print(f"{len(further)} crystals with labels of the teachers", flush=True)
        model.fit(X, y, sample_weight=weights)
        model.save_pretrained(args.output / name)


if __name__ == "__main__":
    main()
