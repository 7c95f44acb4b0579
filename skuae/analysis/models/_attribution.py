"""Contributions of atoms and elements to the predictions of a fitted graph network."""

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Bunch

from skuae._elements import SYMBOLS
from skuae.analysis.models._networks import batches, find_target, site_index, take_network, unit_of
from skuae.training import library_defaults

_OCCLUDED = 119  # the "atomic number" of an atom that has been made an average one
_METHODS = ("auto", "exact", "occlusion")


def attribute_atoms(estimator, X, *, method="auto", target=None):
    """Split predictions of a graph network into contributions of atoms and of elements.

    Parameters
    ----------
    estimator : CrystalGNNRegressor or Pipeline that ends with one
        Fitted.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        The structures to explain; for a pipeline, what its first step takes.
    method : {"auto", "exact", "occlusion"}, default="auto"
        How contributions are found.

        - ``"exact"``: the network ends with a mean over atoms and a linear layer (ALIGNN, coGN), so
          that every atom has a share of its own. Shares add up to the prediction minus `baseline`.
        - ``"occlusion"``: the drop of the prediction when the atom, with its periodic images, gets
          the mean vector of the elements of the training rows instead of its own. The graph stays
          as it is. Works for all back-ends; the drops need not add up to anything. One prediction
          per atom.
        - ``"auto"``: exact where that is possible, else occlusion.
    target : int or str, optional
        Which target to explain, by number or name; needed if the model has several.

    Returns
    -------
    attribution : Bunch
        With the fields

        - ``sites`` : DataFrame with the index ``(row, site)`` and the columns ``species``, the
          fractional coordinates ``a``, ``b``, ``c``, and ``contribution`` in the units of the
          target. For `log_targets`, all numbers refer to the decadic logarithm. ``sites.loc[5]``
          are the atoms of row 5.
        - ``elements`` : DataFrame indexed by symbol, in the order of atomic numbers, with ``mean``
          and ``std`` over the crystals that have the element (std is NaN for a single one) and
          their number ``n``. The value of a crystal is the sum over the atoms of the element
          divided by their share of all atoms, so that a crystal and its supercell have equal
          values.
        - ``predictions`` : ndarray of shape (n_samples,)
        - ``baseline`` : float, the mean of the training targets; None with occlusion.
        - ``method`` : {"exact", "occlusion"}, what was used.
        - ``unit`` : str, the unit of these numbers: that of the target, ``"log10(...)"`` of it for
          one of `log_targets`, ``""`` if it is not known.

    Raises
    ------
    TypeError
        If the estimator is no regressor on a graph network.
    ValueError
        If it has several targets and none is chosen, or cannot be explained exactly.

    See Also
    --------
    AtomAttributionDisplay : Draws the contributions in one crystal.

    Notes
    -----
    Contributions describe the network, not nature. Exact shares are those of atoms *with their
    surroundings*: the vector of an atom contains messages from its neighbours. Occlusion shows the
    network atoms that were not in training, and atoms with redundant roles may each seem
    irrelevant.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.analysis import attribute_atoms
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor("megnet", max_epochs=2, random_state=0)
    >>> attribution = attribute_atoms(gnn.fit(toy.structures, toy.target), toy.structures[:4])
    >>> attribution.method, attribution.sites.shape
    ('occlusion', (8, 5))
    """
    if method not in _METHODS:
        raise ValueError(f"method={method!r} must be one of {', '.join(map(repr, _METHODS))}")
    with library_defaults():
        estimator, crystals = take_network(estimator, X, regressor=True)
    column = find_target(estimator, target)
    linear = estimator.net_.module_.is_additive
    if method == "auto":
        method = "exact" if linear else "occlusion"
    if method == "exact" and not linear:
        raise ValueError(
            f"the read-out of {type(estimator.network_.backbone).__name__} is not linear in its "
            'atoms; use method="occlusion", or backbone="alignn"'
        )
    explain = _exact if method == "exact" else _occlusion
    with library_defaults(), torch.inference_mode():
        packed = estimator.network_.pack(crystals, estimator.device_, merge=False)
        estimator.net_.module_.eval()
        contributions, predictions = explain(estimator, packed, column)
    mean, scale = estimator.task_.scaler.mean_[column], estimator.task_.scaler.scale_[column]
    contributions = contributions * scale
    return Bunch(
        sites=_sites(crystals, contributions),
        elements=_elements(crystals, contributions),
        predictions=predictions * scale + mean,
        baseline=float(mean) if method == "exact" else None,
        method=method,
        unit=unit_of(estimator, column),
    )


def _exact(estimator, packed, column):
    """Return the shares of sites (n_sites,) and the outputs (n_crystals,), in scaled units."""
    module = estimator.net_.module_
    # In double precision, which not all devices have, so that the shares add up.
    weight, bias = (p[column].cpu().double() for p in (module.head.weight, module.head.bias))
    shares, outputs = [], []
    for rows in batches(np.arange(len(packed)), estimator.batch_size):
        batch = packed.batch(rows)
        vectors = module.site_vectors(batch).cpu().double()  # (N, d)
        crystal = batch.crystal.cpu()
        # The constant is shared by all sites; its split between it and the vectors is arbitrary.
        share = (vectors @ weight + bias) / batch.sizes.cpu()[crystal]
        shares.append(share)
        outputs.append(share.new_zeros(len(batch)).index_add(0, crystal, share))
    return torch.cat(shares).numpy(), torch.cat(outputs).numpy()


def _occlusion(estimator, packed, column):
    """Return the drops of the output, in scaled units, and the outputs themselves."""
    module, size = estimator.net_.module_, estimator.batch_size
    weight = module.elements.weight
    seen = torch.as_tensor(estimator.network_.elements.seen, device=weight.device)
    table = {"elements.weight": torch.cat([weight, weight[seen].mean(0, keepdim=True)])}
    n_sites = packed.offsets.diff().cpu().numpy()
    every = np.arange(len(packed))
    predicted = [module(packed.batch(rows))[:, column] for rows in batches(every, size)]
    outputs = torch.cat(predicted).cpu().double().numpy()
    # A copy of the crystal for each of its sites, with this site occluded.
    copies = np.repeat(every, n_sites)
    sites = np.arange(len(copies)) - np.repeat(packed.offsets[:-1].cpu().numpy(), n_sites)
    predicted = []
    for part in batches(np.arange(len(copies)), size):
        batch = packed.batch(copies[part])
        starts = np.cumsum(n_sites[copies[part]]) - n_sites[copies[part]]
        changed = torch.as_tensor(starts + sites[part], device=batch.numbers.device)
        batch = _occlude(batch, changed)
        output = torch.func.functional_call(module, table, (batch,))
        predicted.append(output[:, column])
    occluded = torch.cat(predicted).cpu().double().numpy()
    return outputs[copies] - occluded, outputs


def _occlude(batch, sites):
    """Return the batch with some of its sites occupied by an average atom."""
    batch = batch.replace(numbers=batch.numbers.index_fill(0, sites, _OCCLUDED))
    if batch.occ_sites is None:
        return batch
    # Partly empty sites stay so.
    inside = torch.isin(batch.occ_sites, sites)
    return batch.replace(occ_numbers=torch.where(inside, _OCCLUDED, batch.occ_numbers))


def _sites(crystals, contributions):
    species = np.array(SYMBOLS, dtype=object)[crystals.numbers - 1]
    if crystals.occ_sites is not None:
        symbols = np.array(SYMBOLS, dtype=object)[crystals.occ_numbers - 1]
        parts = pd.Series([f"{s}:{v:g}" for s, v in zip(symbols, crystals.occ_values, strict=True)])
        mixed = parts.groupby(crystals.occ_sites).agg(", ".join)
        species[mixed.index] = mixed
    columns = dict(zip("abc", crystals.frac_coords.T, strict=True))
    columns = {"species": species, **columns, "contribution": contributions}
    return pd.DataFrame(columns, index=site_index(crystals))


def _elements(crystals, contributions):
    """Summarise contributions over crystals; species share a site by their occupancies."""
    rows = np.repeat(np.arange(len(crystals)), crystals.sizes)
    sites, numbers, shares = np.arange(crystals.n_sites), crystals.numbers, np.ones(len(rows))
    if crystals.occ_sites is not None:
        whole = np.ones(crystals.n_sites, dtype=bool)
        whole[crystals.occ_sites] = False
        filled = np.bincount(crystals.occ_sites, crystals.occ_values, minlength=crystals.n_sites)
        sites = np.concatenate([sites[whole], crystals.occ_sites])
        numbers = np.concatenate([numbers[whole], crystals.occ_numbers])
        mixed = crystals.occ_values / filled[crystals.occ_sites]
        shares = np.concatenate([shares[whole], mixed])
    frame = pd.DataFrame(
        {
            "row": rows[sites],
            "number": numbers,
            "part": contributions[sites] * shares,
            "fraction": shares / crystals.sizes[rows[sites]],
        }
    )
    totals = frame.groupby(["number", "row"]).sum()
    per_crystal = totals["part"] / totals["fraction"]
    summary = per_crystal.groupby("number").agg(mean="mean", std="std", n="size")
    summary.index = pd.Index([SYMBOLS[z - 1] for z in summary.index], name="element")
    return summary
