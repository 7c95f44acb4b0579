"""What the cards of the shipped models say of their errors."""

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from skuae.analysis import errors_by_crystal_system

LEVELS = (0.5, 0.9)
LEARNED = {
    "mp": "Formation energy, PBE band gap, Fermi level, magnetisation, and Voigt-Reuss-Hill bulk "
    "and shear moduli of crystals as the Materials Project computed them, with standard "
    "deviations. The logarithms of the moduli were learned; predictions are in GPa. Crystals with "
    "moduli counted five times, since they are 5 % of all. Energies above the hull are not "
    "among the targets: only 3,000 were known, most of them of test formulas.",
    "mp-energy-gap": "Formation energy and PBE band gap of crystals as the Materials Project "
    "computed them, with standard deviations. Errors are smaller than those of the model mp, which "
    "learned four more targets. Training also used 75,251 further crystals of the Materials "
    "Project without labels, of other formulas than the test and calibration crystals: their "
    "labels are the mean predictions of two networks that had learned the labels.",
    "mp-metal": "Whether the PBE band gap of the Materials Project is 0 (metal) or above "
    "(insulator).",
    "mp-topology": "Whether Materiae (Zhang et al., Nature 566, 475, 2019) calls a crystal "
    "topological with spin-orbit coupling (insulators and symmetry-indicated semimetals) or "
    "trivial. Crystals of an unknown class were left out.",
}
_LABELS = {
    "band_gap": "formation energies and gaps of release 2018.6.1",
    "efermi": "Fermi levels and magnetisation of the data set of CGCNN (Xie and Grossman, PRL 120, "
    "145301, 2018)",
    "K_VRH": "moduli of de Jong et al. (Scientific Data 2, 150009, 2015)",
}
_SOURCES = {
    "mp-metal": "Crystals and gaps are of the Materials Project (Jain et al., APL Materials 1, "
    "011002, 2013), release 2018.6.1, CC BY 4.0.",
    "mp-topology": "Crystals are of the Materials Project (Jain et al., APL Materials 1, 011002, "
    "2013), CC BY 4.0. Classes are those of Materiae (Zhang et al., Nature 566, 475, 2019).",
}
_LEAKAGE = """## Leakage

No formula of these is among the training crystals: the test rows of the MEGNet split (the test
crystals above), its validation rows, `datasets.load_mp_mini`, `datasets.load_mp_perovskites`,
matbench_perovskites, and the perovskites of OQMD, of the Materials Project and of hybrid
organic-inorganic kind. Most other crystals of the Materials Project of 2018 of at most 100 sites
are among them. Errors on crystals that are among them are too small.
"""


def data_of(name, targets, start, elements):
    """Describe the data and the start of a training.

    Parameters
    ----------
    name : str
        Of the model.
    targets : list of str
    start : str or None
        The network that training started from, in words.
    elements : list of str
        In no training crystal.

    Returns
    -------
    str
        Markdown.
    """
    labels = ", ".join(text for target, text in _LABELS.items() if target in targets)
    source = _SOURCES.get(
        name,
        "Crystals and labels are of the Materials Project (Jain et al., APL Materials 1, 011002, "
        f"2013), CC BY 4.0: {labels}.",
    )
    began = "the element table ct-uae-mt of skuae"
    if start is not None:
        began = f"{start}, whose training started from {began}"
    return f"""{source} Training started from {began}. The table was learned from crystals of other
formulas than the test crystals.

No training crystal has {", ".join(elements[:-1])} or {elements[-1]}: predictions for these elements
are guesses, and their standard deviations do not show it.

{_LEAKAGE}"""


def card_of_regressor(model, X, y, y_train):
    """Score a regressor on test crystals.

    Parameters
    ----------
    model : CrystalGNNRegressor
    X : Crystals
    y, y_train : DataFrame
        Labels of the test crystals and of the training crystals, NaN where unknown.

    Returns
    -------
    errors : dict of dict of float
        By target.
    notes : str
        Markdown.
    """
    mean, std = model.predict(X, return_std=True)
    errors, systems = {}, {}
    for j, name in enumerate(y):
        known = y[name].notna().to_numpy()
        true, found, spread = y[name].to_numpy()[known], mean[known, j], std[known, j]
        log = model.log_targets is not None and name in model.log_targets
        if log:  # errors of logarithms; the intervals are those of calibrate_std
            spread, true, found = spread / found / np.log(10), np.log10(true), np.log10(found)
        guess = y_train[name].dropna().median()
        guess = np.log10(guess) if log else guess
        key = f"log10 {name}" if log else name
        off = np.abs(true - found)
        errors[key] = {
            "n": int(known.sum()),
            "mae": off.mean(),
            "constant mae": np.abs(true - guess).mean(),
            "rmse": np.sqrt((off**2).mean()),
        }
        for level in LEVELS:
            width = norm.ppf(0.5 + level / 2) * spread
            errors[key][f"share in {level:.0%} intervals"] = (off <= width).mean()
        systems[key] = errors_by_crystal_system(true, found, X[np.flatnonzero(known)])["mae"]
    gaps = _gaps(y, mean, std) if "band_gap" in y else ""
    errors = {k: {n: float(f"{v:.4g}") for n, v in e.items()} for k, e in errors.items()}
    by_system = pd.DataFrame(systems)
    counts = errors_by_crystal_system(np.zeros(len(X)), np.zeros(len(X)), X)["n"]
    by_system.insert(0, "n", counts)
    notes = f"""## Errors

On crystals of formulas that it has not seen, of all sizes. "Constant" is the median of the training
labels. Intervals of 50 % are the prediction ± 0.67 standard deviations, those of 90 % ± 1.64.
Standard deviations were scaled with crystals of yet other formulas, so that intervals of 90 % hold
about 90 %. Errors are no normal distribution, so that those of 50 % hold more than 50 %.

{_table(pd.DataFrame(errors).T.astype(object), "target")}

{gaps}Mean absolute errors by crystal system:

{_table(by_system, "system")}"""
    return errors, notes


def _gaps(y, mean, std):
    """Return the errors of gaps of metals and of insulators in Markdown."""
    j = list(y).index("band_gap")
    known = y["band_gap"].notna().to_numpy()
    true, found, spread = y["band_gap"].to_numpy()[known], mean[known, j], std[known, j]
    parts = {"0 (metals)": true == 0, "above 0": true > 0, "1 to 3 eV": (true >= 1) & (true <= 3)}
    rows = {
        name: {
            "n": part.sum(),
            "mae": np.abs(found - true)[part].mean(),
            "mean of prediction - label": (found - true)[part].mean(),
            "share in 90% intervals": (np.abs(found - true) <= norm.ppf(0.95) * spread)[
                part
            ].mean(),
        }
        for name, part in parts.items()
    }
    below = f"{(found < 0).mean():.0%} of the predictions are below 0, which means 0"
    return f"""Errors of band gaps, in eV, by the label ({below}):

{_table(pd.DataFrame(rows).T.astype(object), "band gap")}

"""


def card_of_classifier(model, X, y):
    """Score a classifier on test crystals.

    Parameters
    ----------
    model : CrystalGNNClassifier
    X : Crystals
    y : ndarray of str

    Returns
    -------
    errors : dict of dict of float
        By target: the one that there is.
    notes : str
        Markdown.
    """
    proba, found = model.predict_proba(X), model.predict(X)
    most = pd.Series(y).value_counts(normalize=True)
    scores = {
        "n": len(y),
        "accuracy": accuracy_score(y, found),
        "accuracy of the most frequent class": most.iloc[0],
        "balanced accuracy": balanced_accuracy_score(y, found),
        "ROC AUC": roc_auc_score(y == model.classes_[1], proba[:, 1]),
        "log loss": log_loss(y, proba, labels=model.classes_),
        "Brier score": brier_score_loss(y == model.classes_[1], proba[:, 1]),
    }
    scores = {name: float(f"{value:.4g}") for name, value in scores.items()}
    rows = pd.DataFrame({"system": X.symmetry().crystal_systems, "true": y, "found": found})
    by_system = pd.DataFrame({
        system: {"n": len(part), "balanced accuracy": _balanced(part)}
        for system, part in rows.groupby("system", sort=False)
    }).T  # fmt: skip
    # How often the second class is right, where it was said to be this probable.
    bins = np.minimum((proba[:, 1] * 5).astype(int), 4)
    second = model.classes_[1]
    calibration = pd.DataFrame({
        f"{20 * k} to {20 * k + 20} %": {
            "n": int((bins == k).sum()), f"share of {second}": (y[bins == k] == second).mean()
        }
        for k in range(5)
    }).T  # fmt: skip
    notes = f"""## Errors

On crystals of formulas that it has not seen, of all sizes.

{_table(pd.DataFrame({"value": scores}).drop("n"), "score")}

Balanced accuracy by crystal system:

{_table(by_system, "system")}

How often crystals are {second}, by the probability that the model gives them for it:

{_table(calibration, "probability")}"""
    return {model.target_names_[0]: scores}, notes


def _balanced(part):
    return balanced_accuracy_score(part["true"], part["found"])


def _table(frame, corner):
    """Return a table in Markdown."""
    lines = [f"| {corner} | {' | '.join(map(str, frame))} |", "|---" * (frame.shape[1] + 1) + "|"]
    for name, row in frame.iterrows():
        cells = [f"{int(v):,}" if key == "n" else f"{float(v):.3g}" for key, v in row.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
