"""Small models of the mace-torch package with random weights, for tests."""

import copy

import numpy as np
import pytest
import torch

from skuae import as_crystals
from skuae.datasets import load_mp_mini

mace = pytest.importorskip(
    "skuae.potentials._mace_module",
    reason='needs the mace-torch package: pip install "skuae[mace]"',
    exc_type=ImportError,
)
FIRST = "RealAgnosticInteractionBlock"


def crystals(n=6, seed=0):
    """Return bundled crystals with at most eight atoms, their sites moved by 0.1 Å."""
    data = load_mp_mini()
    small = [one for one in data.structures if one.is_ordered and len(one) <= 8]
    rows = np.random.default_rng(seed).choice(len(small), n, replace=False)
    found = [small[row].copy() for row in rows]
    for i, structure in enumerate(found):
        structure.perturb(0.1, seed=i)
    return found


def model(structures, *, scaled=True, dtype=torch.float64, seed=0, first=FIRST, **params):
    """Return a model for the elements of some crystals, with forces of some eV/Å."""
    numbers = np.unique(as_crystals(structures).numbers).tolist()
    settings = {
        "r_max": 4.5, "num_bessel": 5, "num_polynomial_cutoff": 5, "max_ell": 2,
        "num_interactions": 2, "num_elements": len(numbers), "avg_num_neighbors": 12.0,
        "hidden_irreps": "4x0e+4x1o", "MLP_irreps": "4x0e", "correlation": 2,
        "atomic_numbers": numbers, "atomic_energies": np.linspace(-5, -1, len(numbers))[None],
        "gate": torch.nn.functional.silu, "radial_MLP": [8, 8],
        "interaction_cls": "RealAgnosticResidualInteractionBlock", "interaction_cls_first": first,
    }  # fmt: skip
    if scaled:
        settings |= {"atomic_inter_scale": 300.0, "atomic_inter_shift": 0.3}
    settings |= params
    for name in ("interaction_cls", "interaction_cls_first"):
        settings[name] = mace.mace_modules.interaction_classes[settings[name]]
    for name in ("hidden_irreps", "MLP_irreps"):
        settings[name] = mace.Irreps(settings[name])
    kind = mace.mace_modules.ScaleShiftMACE if scaled else mace.mace_modules.MACE
    torch.manual_seed(seed)
    torch.set_default_dtype(dtype)
    try:
        return kind(**settings)
    finally:
        torch.set_default_dtype(torch.float32)


def calculator(model, monkeypatch, dtype="float64"):
    """Return the calculator of the package for a copy of a model."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # it sets this, for good
    calculators = pytest.importorskip("mace.calculators")
    return calculators.MACECalculator(
        models=[copy.deepcopy(model)], device="cpu", default_dtype=dtype
    )
