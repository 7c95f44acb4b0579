"""Checks before training, so that afterwards only an interruption can spoil a table or card."""

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone

from skuae._numbers import is_real
from skuae.crystals import check_same_order
from skuae.datasets import as_numbers
from skuae.estimators import CrystalGNNRegressor, CrystalTransformerRegressor
from skuae.training import check_in_reach


def check_splitting(hold_out_by, validation_fraction, max_sites):
    """Raise where an option makes no sense: some are used only when training is over.

    Parameters
    ----------
    hold_out_by, validation_fraction, max_sites
        As `pretrain` takes them.
    """
    if hold_out_by not in ("formula", "structure", "id"):
        raise ValueError(f'hold_out_by={hold_out_by!r} must be "formula", "structure" or "id"')
    if not is_real(validation_fraction) or not 0 <= validation_fraction < 1:
        raise ValueError(
            f"validation_fraction={validation_fraction!r} must be a number from 0 (none) up to 1"
        )
    if max_sites is None:
        return
    if not isinstance(max_sites, Integral) or isinstance(max_sites, bool) or max_sites < 1:
        raise ValueError(
            f"max_sites={max_sites!r} must be an integer, at least 1, or None for no limit"
        )


def check_label_frame(y, crystals):
    """Return the labels as floats, with the names of the targets as texts.

    Parameters
    ----------
    y : DataFrame or Series
    crystals : Crystals

    Returns
    -------
    DataFrame of shape (n_crystals, n_targets)

    Raises
    ------
    ValueError
        If the rows are others than those of the crystals, two targets have one name, or a label is
        infinite or no number: `fit` would count such a row among those trained on alone.
    """
    if isinstance(y, pd.Series):
        y = y.to_frame("target" if y.name is None else y.name)
    if not isinstance(y, pd.DataFrame):
        raise TypeError(
            f"y is a {type(y).__name__}; pass a data frame whose columns are the targets (or a "
            "Series), so that the card can name them"
        )
    if len(y) != len(crystals):
        raise ValueError(f"y has {len(y)} rows, there are {len(crystals)} structures")
    check_same_order(y.index, crystals, "y")
    y = y.set_axis(y.columns.map(str), axis=1)
    if not y.columns.is_unique:
        raise ValueError(f"y has two columns {y.columns[y.columns.duplicated()][0]!r}; rename one")
    return y.assign(**{target: _numbers(y[target], crystals) for target in y})


def _numbers(labels, crystals):
    """Return the labels of a target as floats, NaN where there is none."""
    if np.iscomplexobj(labels):
        raise ValueError(f"{labels.name} holds complex numbers; a target is real")
    cells = list(labels.astype(object))  # or dates would become nanoseconds
    return as_numbers(cells, lambda row: f"{crystals.where(row)}: {labels.name}")


def check_units(units, targets):
    """Return the units by the names of targets as texts.

    Parameters
    ----------
    units : dict of str to str, or None
    targets : sequence of str

    Returns
    -------
    dict of str to str
        "" where none is given.

    Raises
    ------
    ValueError
        If there is one of something that is no target.
    """
    if units is not None and not isinstance(units, dict):
        raise TypeError(f"units must be a dict from target to unit; got {units!r}")
    units = {str(target): unit for target, unit in (units or {}).items()}
    unknown = [name for name in units if name not in targets]
    if unknown:
        raise ValueError(
            f"units name {unknown[0]!r}, which is no target; there are {', '.join(targets)}"
        )
    return {target: units.get(target, "") for target in targets}


def check_front_end(front_end):
    """Return an unfitted clone, if the card can tell what its table will have seen.

    Parameters
    ----------
    front_end : estimator or None

    Returns
    -------
    estimator
        With an int `random_state`.
    """
    front_end = clone(CrystalTransformerRegressor() if front_end is None else front_end)
    if not isinstance(front_end, (CrystalTransformerRegressor, CrystalGNNRegressor)):
        raise TypeError(
            f"front_end is a {type(front_end).__name__}; pass a CrystalTransformerRegressor or a "
            'CrystalGNNRegressor(embedding="onehot")'
        )
    given = getattr(front_end, "embedding", None)
    if not (given is None or (isinstance(given, str) and given == "onehot")):
        raise ValueError(
            f"the front-end starts from the table embedding={given!r}, and what it would give is "
            'that table, tuned at best: learn one with embedding="onehot"'
        )
    if front_end.init_from is not None:
        raise ValueError(
            "the front-end has init_from: what that model was trained on may be among the rows to "
            "hold out; leave init_from=None"
        )
    if front_end.early_stopping:
        raise ValueError(
            "the front-end has early_stopping=True, which takes rows to stop by from the training "
            "rows, formula by formula or not; set early_stopping=False: errors are measured on the "
            "validation rows"
        )
    if front_end.random_state is None:
        front_end.set_params(random_state=0)  # a run that nobody can repeat is worth little
    if not isinstance(front_end.random_state, Integral):
        raise ValueError(
            "the front-end needs random_state to be an int, so that the run can be repeated; got "
            f"{front_end.random_state!r}"
        )
    return front_end


def check_elements(front_end, crystals, train):
    """Raise where `fit` would, but name the row of the data, not that of the training rows.

    Parameters
    ----------
    front_end : estimator
    crystals : Crystals
    train : ndarray of int
    """
    if isinstance(front_end, CrystalTransformerRegressor):
        check_in_reach(crystals, train)


def check_finished(front_end):
    """Raise if training ended early, by the user or by a callback: such a table is not to be kept.

    Parameters
    ----------
    front_end : estimator
        After `fit`.
    """
    n_epochs = getattr(front_end, "n_iter_", 0)  # none if it was stopped before training
    if n_epochs < front_end.max_epochs:
        raise KeyboardInterrupt(
            f"stopped after {n_epochs} of {front_end.max_epochs} epochs, and no table was "
            "written; the same call again goes on from the last checkpoint"
        )
