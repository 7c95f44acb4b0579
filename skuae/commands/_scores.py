"""Predictions of rows whose labels are known: their errors, a table and a picture."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    accuracy_score,
    log_loss,
    recall_score,
)

from skuae._files import make_folder, write_bytes
from skuae._messages import such_rows
from skuae.analysis import ParityDisplay
from skuae.commands._model import NOTES, SavedModel
from skuae.commands._output import plain
from skuae.crystals import Crystals

_ERROR, _FOLD = "error", "fold"  # columns
_PREDICTIONS = "predictions.csv"
_PARITY, _CONFUSION = "parity.png", "confusion.png"
FILES = (NOTES, _PREDICTIONS, _PARITY, _CONFUSION)  # that `Scored.write` may write


class Scored(NamedTuple):
    """Rows with their labels and predictions.

    Attributes
    ----------
    frame : DataFrame
        Labels, then the columns of `predict_frame`.
    constant : DataFrame
        What a constant predicts for the same rows, in the columns of `predict_frame` that it has.
        A target without any label has none.
    names : list of str
        Columns of the labels.
    predicted : list of str
        What the targets are called in the columns of predictions.
    classes : ndarray or None
        Of a classifier.
    """

    frame: pd.DataFrame
    constant: pd.DataFrame
    names: list[str]
    predicted: list[str]
    classes: np.ndarray | None

    @property
    def n_failed(self) -> int:
        """Rows that could not be predicted."""
        return int(self.frame[_ERROR].notna().sum())

    def measure(self) -> dict[str, dict[str, Any]]:
        """Return the errors of each target, and those of the constant.

        Returns
        -------
        dict of str to dict
            With ``"n"``, the rows with a label and a prediction; MAE, RMSE and R2 in the units of
            the labels, or accuracy, balanced accuracy and log-loss; and ``"constant"``. A target
            without such rows has ``"n"`` alone.
        """
        result: dict[str, dict[str, Any]] = {}
        for name, column in zip(self.names, self.predicted, strict=True):
            known = self._known(name)
            result[name] = {"n": int(known.sum())}
            if known.any():
                true = self.frame.loc[known, name]
                result[name] |= self._errors(true, self.frame[known], column)
                constant = self.constant[known]
                guesses = constant.get(f"{column}_predicted")
                if guesses is not None and guesses.notna().all():  # it had labels in each fold
                    result[name]["constant"] = self._errors(true, constant, column)
        return result

    def _known(self, name: str) -> np.ndarray:
        """Return which rows have a label and a prediction."""
        return (self.frame[name].notna() & self.frame[_ERROR].isna()).to_numpy()

    def _errors(self, true: pd.Series, frame: pd.DataFrame, column: str) -> dict[str, float]:
        predicted = frame[f"{column}_predicted"]
        if self.classes is None:
            errors = ParityDisplay.from_predictions(true, predicted.astype(float)).metrics_
            return errors if true.nunique() > 1 else {**errors, "R2": np.nan}
        codes, guesses = (_codes(labels, self.classes) for labels in (true, predicted))
        # As balanced_accuracy_score, which warns of guesses that are the class of no row.
        balanced = recall_score(codes, guesses, labels=np.unique(codes), average="macro")
        errors = {
            "accuracy": float(accuracy_score(codes, guesses)),
            "balanced_accuracy": float(balanced),
        }
        columns = [f"{column}_p_{label}" for label in self.classes]
        if set(columns) <= set(frame):  # some classifiers have no probabilities
            shares = frame[columns].to_numpy(float)
            errors["log_loss"] = float(log_loss(codes, shares, labels=np.arange(len(self.classes))))
        return errors

    def first_failure(self) -> str:
        """Return which row is the first that could not be predicted, and why."""
        failed = self.frame[_ERROR].dropna()
        return f"{failed.index[0]}: {failed.iloc[0]}"

    def write(self, folder: Path, units: dict[str, str]) -> None:
        """Write predictions.csv, and parity.png or confusion.png.

        Parameters
        ----------
        folder : Path
        units : dict of str to str
            Units of targets.
        """
        table = self.frame.rename_axis("id" if self.frame.index.name == "id" else "row")
        write_bytes(folder / _PREDICTIONS, table.to_csv().encode())
        picture = _PARITY if self.classes is None else _CONFUSION
        write_bytes(folder / picture, self._draw(units))

    def _draw(self, units: dict[str, str]) -> bytes:
        """Return a picture: predicted against true values, or how classes are confused."""
        n = len(self.names)
        figure = Figure(figsize=(5.0 * n, 4.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, n))
        for ax, name, column in zip(axes, self.names, self.predicted, strict=True):
            part = self.frame[self._known(name)]
            true, predicted = part[name], part[f"{column}_predicted"]
            if not len(part):
                what = "predictions" if self.frame[name].notna().any() else "labels"
                ax.set_title(f"{name}: no {what}")
            elif self.classes is None:
                display = ParityDisplay.from_predictions(
                    true, predicted.astype(float), quantity=name, unit=units.get(name)
                )
                display.plot(ax)
            else:
                ConfusionMatrixDisplay.from_predictions(
                    _codes(true, self.classes), _codes(predicted, self.classes), ax=ax,
                    labels=np.arange(len(self.classes)), display_labels=self.classes,
                    xticks_rotation="vertical", colorbar=False,
                )  # fmt: skip
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=150)
        return content.getvalue()


def score(
    model: SavedModel, crystals: Crystals, labels: pd.DataFrame, constant_of: pd.DataFrame
) -> Scored:
    """Predict crystals whose labels are known.

    Parameters
    ----------
    model : SavedModel
    crystals : Crystals
    labels : DataFrame of shape (n_crystals, n_targets)
    constant_of : DataFrame of shape (n_rows, n_targets)
        Labels whose mean, or shares of classes, are the constant to compare with.

    Returns
    -------
    Scored

    Raises
    ------
    ValueError
        If a label is a class that the model does not know, or a text and the model predicts
        numbers; if it has the name of a column of the predictions; or if labels cannot be assigned
        to the targets of the model.
    """
    classes = model.classes
    if classes is not None:
        _check_known(labels, classes)
    for name in labels if classes is None else ():
        if not pd.api.types.is_numeric_dtype(labels[name]):
            raise ValueError(f"{name} holds texts, and the model predicts numbers")
    frame = model.predict(crystals).set_index(labels.index)
    suffix = "_predicted"
    known = [c.removesuffix(suffix) for c in frame if c.endswith(suffix)]
    predicted = match_targets(list(labels), known)
    taken = set(labels) & {*frame, _FOLD}
    if taken:
        raise ValueError(
            f"the label {min(taken)!r} has the name of a column of predictions.csv; rename it"
        )
    constant = _constant(constant_of, len(labels), predicted, classes).set_index(labels.index)
    frame = pd.concat([labels, frame], axis=1)
    return Scored(frame, constant, list(labels), predicted, classes)


def match_targets(labels: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the targets of a model that labels belong to.

    Parameters
    ----------
    labels : list of str
        Names of columns.
    known : list of str
        Targets of the model.

    Returns
    -------
    list of str
        The targets of these names; or all targets in their order, for as many labels of other
        names.

    Raises
    ------
    ValueError
        If some labels have the name of no target, and there are more or fewer than targets, or
        others have names of targets and are not in their order.
    """
    if set(labels) <= set(known):
        return list(labels)
    strange = next(label for label in labels if label not in known)
    targets = ", ".join(known)
    if len(labels) != len(known):
        raise ValueError(
            f"{len(labels)} --target for a model with {len(known)}, and none of these is called "
            f"{strange!r}; call the columns as the model does, or give one --target for each of "
            f"{targets}, in this order"
        )
    for label, target in zip(labels, known, strict=True):
        if label in known and label != target:
            raise ValueError(
                f"--target {label} is in the place of {target}: give the columns in the order of "
                f"the targets of the model, {targets}"
            )
    return list(known)


def _constant(
    labels: pd.DataFrame, n_rows: int, predicted: list[str], classes: np.ndarray | None
) -> pd.DataFrame:
    X = np.zeros((n_rows, 1))
    columns: dict[str, Any] = {}
    for name, column in zip(labels, predicted, strict=True):
        known = labels[name].dropna()
        if known.empty:
            continue
        rows = np.zeros((len(known), 1))
        if classes is None:
            dummy: Any = DummyRegressor().fit(rows, known.astype(float))
            columns[f"{column}_predicted"] = dummy.predict(X)
            continue
        dummy = DummyClassifier(strategy="prior").fit(rows, _codes(known, classes))
        columns[f"{column}_predicted"] = classes[dummy.predict(X)]
        shares = np.zeros((n_rows, len(classes)))
        shares[:, dummy.classes_] = dummy.predict_proba(X)
        columns |= {
            f"{column}_p_{label}": share for label, share in zip(classes, shares.T, strict=True)
        }
    return pd.DataFrame(columns)


def _codes(labels: pd.Series, classes: np.ndarray) -> np.ndarray:
    """Return the index of each label in the list of classes; 0, 0.0 and False are equal."""
    place = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([place[label] for label in labels.tolist()])


def _check_known(labels: pd.DataFrame, classes: np.ndarray) -> None:
    known = set(classes.tolist())
    for name in labels:
        pairs = zip(labels.index, labels[name].tolist(), strict=True)
        wrong = [(row, y) for row, y in pairs if not (pd.isna(y) or y in known)]
        if wrong:
            row, label = wrong[0]
            raise ValueError(
                f"row {row}: {name} is {label!r}, a class that the model does not know"
                f"{such_rows(len(wrong))}; it knows "
                f"{', '.join(repr(label) for label in classes.tolist())}"
            )


def join(parts: Sequence[Scored]) -> Scored:
    """Return the rows of several folds as one.

    Parameters
    ----------
    parts : sequence of Scored

    Returns
    -------
    Scored
        Its frame has a column ``fold``, if there are several.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    frames = [part.frame.assign(**{_FOLD: k}) for k, part in enumerate(parts, start=1)]
    constant = pd.concat([part.constant for part in parts])
    return first._replace(frame=pd.concat(frames), constant=constant)


def clear(folder: Path) -> None:
    """Make a folder, or remove what was written there about an earlier model.

    Parameters
    ----------
    folder : Path
    """
    make_folder(folder)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def write_notes(folder: Path, notes: dict[str, Any]) -> None:
    """Write metrics.json.

    Parameters
    ----------
    folder : Path
    notes : dict
    """
    write_bytes(folder / NOTES, json.dumps(plain(notes), indent=1).encode())


def as_table(measured: dict[str, dict[str, Any]], units: dict[str, str]) -> pd.DataFrame:
    """Return errors as a table to print: two rows for each target, the second of the constant.

    Parameters
    ----------
    measured : dict
        Of `Scored.measure`.
    units : dict of str to str

    Returns
    -------
    DataFrame
    """
    rows = {}
    for name, errors in measured.items():
        label = f"{name} ({units[name]})" if name in units else name
        rows[label] = {k: v for k, v in errors.items() if k not in ("constant", "folds")}
        if "constant" in errors:
            rows[f"{name}, constant"] = {"n": errors["n"], **errors["constant"]}
    return pd.DataFrame.from_dict(rows, orient="index")
