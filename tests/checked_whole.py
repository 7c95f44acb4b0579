"""Cases of the page "What skuae checks": formulas, and whole models in a folder."""

from pathlib import Path

import numpy as np
import pandas as pd
from checked_inputs import NACL
from pymatgen.core import Composition
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skuae
from skuae import (
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    ElementTable,
    UAETransformer,
    as_crystals,
)
from skuae.crystals import LIMITS
from skuae.datasets import read_file
from skuae.estimators import load_pretrained

SALTS = ["NaCl", "KCl", "LiF", "MgO"]
JARVIS = {"lattice_mat": np.eye(3) * 4, "elements": ["Fe"], "coords": [[0, 0, 0]]}


def features(*formulas):
    """Return features of formulas."""
    return UAETransformer("magpie").fit_transform(list(formulas))


def pipeline():
    """Return a fitted pipeline on formulas."""
    forest = RandomForestRegressor(n_estimators=2, random_state=0)
    return make_pipeline(UAETransformer("magpie"), forest).fit(SALTS, [1.0, 2.0, 3.0, 4.0])


def kept(model):
    """Save a model, read it, and return whether it predicts the same."""
    skuae.save(model, "m")
    return (skuae.load("m").predict(SALTS) == model.predict(SALTS)).all()


def by_hand(x):
    """Transform a target by a function that is neither numpy's nor scikit-learn's."""
    return 2 * x


def too_large():
    """Read a table of 2 MB from a parquet file of a few kB, where 1 MB is the limit."""
    limit = LIMITS.table_bytes
    pd.DataFrame({"cif": ["x" * 100] * 20_000}).to_parquet("a.parquet")
    try:
        LIMITS.table_bytes = 10**6
        read_file("a.parquet")
    finally:
        LIMITS.table_bytes = limit


def parquet(structure):
    """Return a structure that went through a parquet file of pandas."""
    content = structure.as_dict()
    del content["properties"]  # parquet has no empty structs
    sites = [{k: v for k, v in site.items() if k != "properties"} for site in content["sites"]]
    pd.DataFrame({"structure": [content | {"sites": sites}]}).to_parquet("a.parquet")
    return as_crystals(pd.read_parquet("a.parquet")["structure"])[0].composition


FORMULAS = {
    "a formula or Composition given to `UAETransformer`": lambda _: (
        features("NaCl", Composition("KCl")).shape[0] == 2
    ),
    "a formula given to a network": lambda _: CrystalGNNRegressor().fit(SALTS, [1, 2, 3, 4]),
    "formulas before a network in a pipeline": lambda _: make_pipeline(
        UAETransformer(), CrystalGNNRegressor()
    ).fit(SALTS, [1, 2, 3, 4]),
    "a table to be learned from formulas": lambda _: UAETransformer(
        CrystalTransformerRegressor()
    ).fit(SALTS, [1, 2, 3, 4]),
    "formulas and structures in one column": lambda _: features("NaCl", NACL),
    "a hydrate with a dot": lambda _: features("NaCl", "CuSO4.5H2O"),
    "charges, variables or exponents in a formula": lambda _: features("NaCl", "La2-xSrxCuO4"),
    "a formula in small letters, among others": lambda _: features("NaCl", "nacl"),
    "a lone misspelt formula": lambda _: features("NaCll"),
    "a formula without atoms": lambda _: features("Na0"),
    "a missing formula": lambda _: features("NaCl", None),
}
WHOLE = {
    "dicts of JARVIS": lambda _: as_crystals([JARVIS])[0].composition.formula == "Fe1",
    "cells of a parquet file read by pandas": lambda _: parquet(NACL) == NACL.composition,
    "a parquet file that expands beyond the limit": lambda _: too_large(),
    "a pipeline that is saved and loaded": lambda _: kept(pipeline()),
    "a function of your own in a model to be saved": lambda _: kept(
        TransformedTargetRegressor(
            pipeline(), func=by_hand, inverse_func=by_hand, check_inverse=False
        ).fit(SALTS, [1.0, 2.0, 3.0, 4.0])
    ),
    "a search to be saved": lambda _: kept(
        GridSearchCV(
            make_pipeline(UAETransformer("magpie"), DummyRegressor()),
            {"dummyregressor__strategy": ["mean", "median"]},
            cv=2,
        ).fit(SALTS, [1.0, 2.0, 3.0, 4.0])
    ),
    "a model to be saved beside a README.md of something else": lambda _: (
        Path("README.md").write_text("Mine."),
        skuae.save(pipeline(), "."),
    ),
    "an address as the folder to save to": lambda _: skuae.save(pipeline(), "hf://owner/name"),
    "a device that is not there, for a pipeline": lambda _: (
        kept(pipeline()) and skuae.load("m", device="abacus")
    ),
    "the folder of a pipeline given to `load_pretrained`": lambda _: (
        kept(pipeline()) and load_pretrained("m")
    ),
    "markup in the name of a table, in notebooks": lambda _: (
        "<b>Cu" not in ElementTable([[1.0]], ["Cu"], name="<b>Cu")._repr_html_()
    ),
}
