"""Initial weights of a potential: new, published or its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from skuae._elements import N_ELEMENTS, SYMBOLS, atomic_number
from skuae._numbers import is_real
from skuae.crystals import Crystals
from skuae.embedding import ElementTable, resolve_table
from skuae.models import ElementEmbedding
from skuae.potentials._chgnet import CHGNet
from skuae.potentials._contract import Potential
from skuae.potentials._fitted import FittedPotential, compositions, refuse_elements
from skuae.potentials._m3gnet import M3GNet
from skuae.potentials._mace import MACE
from skuae.potentials._mace_models import mace_spec
from skuae.potentials._plain import plain_params
from skuae.potentials._published import SEVENNET, read_published
from skuae.potentials._sevennet import SevenNet

BACKBONES: dict[str, type[Potential]] = {
    "chgnet": CHGNet, "m3gnet": M3GNet, "mace": MACE, "sevennet": SevenNet,
}  # fmt: skip
N_OWN = 94  # elements with vectors of the network's own: H to Pu, as published
_SMALLEST = 1e-7  # singular value of compositions that counts, as part of the largest


def resolve_potential(backbone: Any) -> Potential:
    """Return the specification that a name or a specification stands for, checked.

    Parameters
    ----------
    backbone : str, Potential, or a model of the mace-torch package

    Returns
    -------
    Potential

    Raises
    ------
    TypeError, ValueError
        If it is neither; if it is not known, or parameters make no sense.
    """
    if isinstance(backbone, str):
        if backbone not in BACKBONES:
            raise ValueError(
                f"backbone {backbone!r} is not known; known are {', '.join(BACKBONES)}"
            )
        return BACKBONES[backbone]()
    if isinstance(backbone, torch.nn.Module):
        return mace_spec(backbone)
    if not isinstance(backbone, Potential):
        raise TypeError(
            f"backbone is a {type(backbone).__name__}; pass one of {', '.join(BACKBONES)}, or a "
            "specification such as CHGNet()"
        )
    copy: Potential = clone(backbone)
    copy.check()
    return copy.set_params(**plain_params(copy.get_params(), type(copy).__name__))


def new_potential(
    backbone: Potential, embedding: Any, frozen: bool, crystals: Crystals, dtype: torch.dtype
) -> FittedPotential:
    """Return a potential with weights drawn from torch's global generator.

    Parameters
    ----------
    backbone : Potential
    embedding : table or None
        Vectors of elements; None draws them, too.
    frozen : bool
        Whether vectors of elements stay as they are.
    crystals : Crystals
        To train on; all their elements must have vectors.
    dtype : torch.dtype

    Returns
    -------
    FittedPotential
    """
    if embedding is None:
        values, table = torch.randn(N_OWN, backbone.dim), None
    else:
        values, table = _vectors_of(embedding)
    check_vectors(crystals, backbone, len(values), table)
    module = backbone.build(ElementEmbedding(values, frozen)).to(dtype)
    nothing = np.zeros(N_ELEMENTS, dtype=bool)
    return FittedPotential(backbone, module, np.zeros(N_ELEMENTS), nothing, False, frozen)


def with_vectors(
    start: FittedPotential, embedding: Any, frozen: bool, crystals: Crystals
) -> FittedPotential:
    """Return a potential with the vectors of a table in place of its own.

    Parameters
    ----------
    start : FittedPotential
    embedding : table
        Of any width; a layer for it is drawn from torch's global generator if it needs one.
    frozen : bool
        Whether vectors of elements stay as they are.
    crystals : Crystals
        To train on; all their elements must have vectors.

    Returns
    -------
    FittedPotential
    """
    values, table = _vectors_of(embedding)
    check_vectors(crystals, start.backbone, len(values), table)
    module = start.backbone.build(ElementEmbedding(values, frozen)).to(start.dtype)
    kept = {
        name: value
        for name, value in start.module.state_dict().items()
        if not name.startswith(("elements.", "embedding."))
    }
    module.load_state_dict({**module.state_dict(), **kept})
    return replace(start, module=module, frozen=frozen)


def _vectors_of(embedding: Any) -> tuple[torch.Tensor, ElementTable]:
    """Return vectors of all elements, and the table that they come from."""
    if hasattr(embedding, "fit"):
        raise TypeError(
            "embedding is an estimator; a potential takes its table: fit it, and pass its "
            "element_table_"
        )
    table = resolve_table(embedding)[0]
    return torch.tensor(table.lookup(np.arange(1, N_ELEMENTS + 1), "mean")), table


def check_vectors(
    crystals: Crystals, backbone: Potential, n_vectors: int, table: ElementTable | None = None
) -> None:
    """Raise ValueError at the first crystal with an element that has no vector, or no weights.

    Parameters
    ----------
    crystals : Crystals
    backbone : Potential
    n_vectors : int
        Elements with a vector, from H on.
    table : ElementTable, optional
        Where the vectors come from.
    """
    known = np.arange(N_ELEMENTS) < n_vectors if table is None else table.seen
    what = f"the network has vectors up to Z={n_vectors}, and none of {{}}"
    if table is not None:
        what = f"element table {table.name!r} has no vector for {{}}"
    refuse_elements(crystals, known, f"{what}; use an embedding that covers it")
    refuse_elements(
        crystals,
        backbone.covered(),
        "the network has no weights for {}; use one whose elements include it",
    )


def published_potential(name: str) -> FittedPotential:
    """Return a potential that others trained.

    Parameters
    ----------
    name : str
        Among `PUBLISHED`.

    Returns
    -------
    FittedPotential
    """
    if name == SEVENNET:
        from skuae.potentials._sevennet_module import read_sevennet

        return read_sevennet()
    found = read_published(name)
    module = found.backbone.build(ElementEmbedding(found.elements, frozen=False))
    module.load_state_dict({**found.weights, "elements.weight": found.elements})
    references, seen = np.zeros(N_ELEMENTS), np.zeros(N_ELEMENTS, dtype=bool)
    references[:N_OWN] = found.reference_energies
    seen[:N_OWN] = found.seen
    return FittedPotential(found.backbone, module, references, seen, True, False)


def fit_references(crystals: Crystals, energies: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fit energies of elements by least squares without an intercept.

    Of all solutions, the smallest is taken: labels of one compound share its energy out.

    Parameters
    ----------
    crystals : Crystals
    energies : ndarray of shape (n,)
        In eV per cell; NaN where unknown.
    rows : ndarray of int
        Crystals to fit on.

    Returns
    -------
    ndarray of shape (118,)
        In eV per atom; 0 for elements that no row has.
    """
    rows = rows[np.isfinite(energies[rows])]
    shares = (compositions(crystals) / crystals.sizes[:, None])[rows]
    per_atom = (energies / crystals.sizes)[rows]
    # Energies of codes with all electrons are thousands of eV, so nothing may shrink them.
    solution: np.ndarray = np.linalg.lstsq(shares, per_atom, rcond=_SMALLEST)[0]
    return solution


def given_references(references: Mapping[Any, float], others: np.ndarray) -> np.ndarray:
    """Return energies of elements that a user gives.

    Parameters
    ----------
    references : dict of float by symbol
        In eV per atom.
    others : ndarray of shape (118,)
        Energies of the elements that it does not name.

    Returns
    -------
    ndarray of shape (118,)

    Raises
    ------
    ValueError
        If one is no symbol or no finite number.
    """
    values = others.copy()
    for element, value in references.items():
        number = atomic_number(element)
        if not is_real(value) or not np.isfinite(value):
            raise ValueError(
                f"reference_energies: {SYMBOLS[number - 1]} has {value!r}, expected eV per atom"
            )
        values[number - 1] = value
    return values
