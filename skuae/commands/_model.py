"""The argument MODEL, and the notes of `skuae train` about it."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skuae._cards import take, take_texts
from skuae._files import checked_content
from skuae._hub import MODEL_FILE, find_model
from skuae.crystals import Crystals
from skuae.estimators import CrystalEstimator, predict_frame, read_model_folder
from skuae.pipelines import load
from skuae.potentials import CrystalPotential

NOTES = "metrics.json"


class SavedModel(NamedTuple):
    """A fitted model, and what is known of it.

    Attributes
    ----------
    estimator : estimator
        Fitted: a network, a pipeline or an ensemble.
    targets : list of str or None
        Names of the targets, if they are known.
    units : dict of str by target name
        Units of the targets that have one.
    elements : list of str or None
        Elements of the training set. None if they are unknown, or if the network knows them.
    """

    estimator: Any
    targets: list[str] | None
    units: dict[str, str]
    elements: list[str] | None

    @property
    def classes(self) -> np.ndarray | None:
        """The classes of a classifier; None for a regressor."""
        return getattr(self.estimator, "classes_", None)

    @property
    def n_targets(self) -> int | None:
        """The number of targets, if it is known before a prediction."""
        if hasattr(self.estimator, "task_"):
            return int(self.estimator.task_.n_targets)
        return None if self.targets is None else len(self.targets)

    def predict(self, crystals: Crystals | list[Any]) -> pd.DataFrame:
        """Return the predictions for crystals as a table; see `predict_frame`.

        Parameters
        ----------
        crystals : Crystals or list

        Returns
        -------
        DataFrame
        """
        return predict_frame(
            self.estimator, crystals, target_names=self.targets, training_elements=self.elements
        )


def load_model(name: str, *, device: str | None = None, verbose: int | None = None) -> SavedModel:
    """Return the model that MODEL stands for.

    Parameters
    ----------
    name : str
        A model that ships with skuae, the folder of a saved one, or ``hf://owner/name``.
    device : str, optional
        Where networks run.
    verbose : int, optional
        Whether networks show progress bars.

    Returns
    -------
    SavedModel

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        As `skuae.load` raises them; ValueError, too, if a classifier has several targets.
    """
    model = load(name, device=device or "auto", verbose=verbose)
    if isinstance(getattr(model, "classes_", None), list):
        raise ValueError(f"{name} is a classifier of several targets; use it in Python: skuae.load")
    if isinstance(model, CrystalEstimator):
        targets, units, elements = model.target_names_, model.target_units_, None
    elif isinstance(model, CrystalPotential):
        targets, units = model.target_names_, model.target_units_
        elements = [*model.reference_energies_]
    else:
        config, _ = read_model_folder(name)
        with checked_content(name, "a model"):
            known = take(config, "about", dict)
            targets, units, elements = (
                _texts(known, key) for key in ("targets", "units", "elements")
            )
    named = dict(zip(targets or [], units or [], strict=False))
    return SavedModel(model, targets, {key: unit for key, unit in named.items() if unit}, elements)


def _texts(known: dict[str, Any], key: str) -> list[str] | None:
    return None if take(known, key, list, None) is None else take_texts(known, key)


def digest_of(folder: str | Path) -> str:
    """Return the checksum of a saved model, by which notes are known to be on it.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    str
    """
    return hashlib.sha256((Path(folder) / MODEL_FILE).read_bytes()).hexdigest()


def identity_of(name: str) -> dict[str, Any]:
    """Return what tells a model from others, for results that are written one after the other.

    Parameters
    ----------
    name : str
        As in `load_model`.

    Returns
    -------
    dict
        Its checksum; its name, if it is not on this machine.
    """
    return {"model": name} if "://" in name else {"model_sha256": digest_of(find_model(name))}


def notes_on(name: str | Path) -> dict[str, Any]:
    """Return what is noted about a model beside it, by `skuae train` for example.

    Parameters
    ----------
    name : str or Path
        As in `load_model`.

    Returns
    -------
    dict
        Empty if there is nothing, or if it is about another model.
    """
    folder = find_model(name)
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(notes, dict) and notes.get("model_sha256") == digest_of(folder)
    return notes if known else {}
