"""A trained potential: network, reference energies, and predictions in batches."""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skuae._elements import N_ELEMENTS, SYMBOLS
from skuae._messages import such_rows
from skuae._progress import progress_bar
from skuae.crystals import CrystalBatch, Crystals, PackedTensors
from skuae.models import ElementEmbedding
from skuae.potentials._contract import Potential, PotentialModule, evaluate
from skuae.potentials._edges import check_ordered, pack_edges
from skuae.potentials._precision import flushed_denormals

_FITS_A_CACHE = 8_192  # edges of a batch on a CPU: more only makes memory the limit


class Predictions(NamedTuple):
    """What a potential says of crystals.

    Attributes
    ----------
    energies : ndarray of float64 of shape (n,)
        In eV per cell.
    forces : ndarray of float64 of shape (n_sites, 3), or None
        In eV/Å.
    stresses : ndarray of float64 of shape (n, 3, 3), or None
        In GPa.
    magmoms : ndarray of float64 of shape (n_sites,), or None
        In Bohr magnetons.
    """

    energies: np.ndarray
    forces: np.ndarray | None
    stresses: np.ndarray | None
    magmoms: np.ndarray | None


@dataclass(eq=False)
class FittedPotential:
    """A network and what belongs to it.

    Its weights record no gradients, which take time and memory, unless `fit` trains them.

    Attributes
    ----------
    backbone : Potential
    module : PotentialModule
    references : ndarray of float64 of shape (118,)
        Energies of elements in eV per atom, which the network's energies are added to.
    seen : ndarray of bool of shape (118,)
        Elements that it was trained on.
    has_magmoms : bool
        Whether it was trained on magnetic moments.
    frozen : bool
        Whether vectors of elements stayed as they were given.
    """

    backbone: Potential
    module: PotentialModule
    references: np.ndarray
    seen: np.ndarray
    has_magmoms: bool
    frozen: bool

    def __post_init__(self) -> None:
        self.module.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network."""
        return next(self.module.parameters()).dtype

    def copied(self, dtype: torch.dtype, frozen: bool) -> "FittedPotential":
        """Return a copy whose network is trained without changing this one.

        Parameters
        ----------
        dtype : torch.dtype
        frozen : bool
            Whether vectors of elements are to stay as they are.

        Returns
        -------
        FittedPotential
        """
        module = copy.deepcopy(self.module).to(dtype)
        vectors = module.elements.table().detach()
        module.elements = ElementEmbedding(vectors, frozen)
        return replace(self, module=module, frozen=frozen)

    def named_references(self) -> dict[str, float]:
        """Return energies of the elements of training in eV per atom, by symbol."""
        return {SYMBOLS[i]: float(self.references[i]) for i in np.flatnonzero(self.seen)}

    def check(self, crystals: Crystals) -> None:
        """Raise ValueError at the first crystal that the potential cannot treat.

        It is disordered, or has an element that was not trained on.

        Parameters
        ----------
        crystals : Crystals
        """
        check_ordered(crystals)
        refuse_elements(
            crystals,
            self.seen,
            "the potential was not trained on {}, and knows no energy of it; train on crystals "
            "that contain it",
        )

    def pack(self, crystals: Crystals) -> PackedTensors:
        """Return crystals with their edges on the device of the network.

        Parameters
        ----------
        crystals : Crystals

        Returns
        -------
        PackedTensors
        """
        return pack_edges(crystals, self.backbone.cutoff, self.device, self.dtype)

    def predict(
        self, crystals: Crystals, max_edges: int, *, derivatives: bool, bar: str | None = None
    ) -> Predictions:
        """Return energies, and forces and stresses if asked for.

        Parameters
        ----------
        crystals : Crystals
        max_edges : int
            Of a batch.
        derivatives : bool
        bar : str, optional
            Name of a progress bar.

        Returns
        -------
        Predictions
        """
        with torch.set_grad_enabled(derivatives):
            parts = self._in_batches(
                lambda batch: evaluate(self.module, batch, derivatives=derivatives),
                crystals,
                max_edges,
                bar,
            )
        energies, *others = (
            None if column[0] is None else torch.cat(column).double().cpu().numpy()
            for column in zip(*parts, strict=True)
        )  # fmt: skip
        forces, stresses, magmoms, _ = others
        if not self.has_magmoms:
            magmoms = None
        found = Predictions(energies + self.energies_of_elements(crystals), forces, stresses,
                            magmoms)  # fmt: skip
        finite = np.repeat(np.isfinite(found.energies), crystals.sizes)
        if forces is not None:
            finite &= np.isfinite(forces).all(axis=1)
        _check_finite(finite, crystals)
        return found

    def site_features(self, crystals: Crystals, max_edges: int) -> np.ndarray:
        """Return what energies of sites are read from.

        Parameters
        ----------
        crystals : Crystals
        max_edges : int
            Of a batch.

        Returns
        -------
        ndarray of shape (n_sites, width)
        """

        def run(batch: CrystalBatch) -> Tensor:
            return self.module(batch, batch.vectors).features

        with torch.no_grad():
            found = torch.cat(self._in_batches(run, crystals, max_edges, "features"))
        features: np.ndarray = found.cpu().numpy()
        _check_finite(np.isfinite(features).all(axis=1), crystals)
        return features

    def _in_batches(
        self, run: Callable[[CrystalBatch], Any], crystals: Crystals, max_edges: int,
        bar: str | None,
    ) -> list[Any]:  # fmt: skip
        """Return what a function returns for all crystals, cut by edges."""
        self.check(crystals)
        packed = self.pack(crystals)
        at_once = edges_at_once(max_edges, self.device)
        cuts = cut_by_edges(np.arange(len(crystals)), count_edges(packed), at_once)
        done = []
        with (
            flushed_denormals(),
            nullcontext() if bar is None else progress_bar(len(crystals), bar, "crystals") as shown,
        ):
            for rows in cuts:
                done.append(run(packed.batch(rows)))
                if shown is not None:
                    shown.update(len(rows))
        return done

    def energies_of_elements(self, crystals: Crystals) -> np.ndarray:
        """Return what reference energies add up to, in eV per cell.

        Parameters
        ----------
        crystals : Crystals

        Returns
        -------
        ndarray of shape (n,)
        """
        return compositions(crystals) @ self.references


def refuse_elements(crystals: Crystals, known: np.ndarray, why: str) -> None:
    """Raise ValueError at the first crystal with an element that is not known.

    Parameters
    ----------
    crystals : Crystals
    known : ndarray of bool of shape (118,)
    why : str
        What is wrong, with a place for the symbol, and what to do.
    """
    rows, numbers, _ = crystals.composition()
    new = np.flatnonzero(~known[numbers - 1])
    if len(new):
        where, symbol = crystals.where(int(rows[new[0]])), SYMBOLS[numbers[new[0]] - 1]
        count = len(np.unique(rows[new]))
        raise ValueError(f"{where}: {why.format(symbol)}, or drop the row{such_rows(count)}")


def compositions(crystals: Crystals) -> np.ndarray:
    """Count atoms of each element.

    Parameters
    ----------
    crystals : Crystals

    Returns
    -------
    ndarray of float64 of shape (n, 118)
    """
    counts = np.zeros((len(crystals), N_ELEMENTS))
    rows, numbers, amounts = crystals.composition()
    counts[rows, numbers - 1] = amounts
    return counts


def count_edges(packed: PackedTensors) -> np.ndarray:
    """Count the edges of each crystal.

    Parameters
    ----------
    packed : PackedTensors

    Returns
    -------
    ndarray of int64 of shape (n_crystals,)
    """
    return packed.n_rows("edges")


def edges_at_once(max_edges: int, device: torch.device) -> int:
    """Return how many edges to compute at once on a device.

    Parameters
    ----------
    max_edges : int
        At most so many.
    device : torch.device

    Returns
    -------
    int
    """
    return min(max_edges, _FITS_A_CACHE) if device.type == "cpu" else max_edges


def cut_by_edges(rows: np.ndarray, n_edges: np.ndarray, max_edges: int) -> Iterator[np.ndarray]:
    """Cut rows into consecutive batches with at most so many edges, and at least one crystal.

    Parameters
    ----------
    rows : ndarray of int of shape (n,)
        At least one.
    n_edges : ndarray of int of shape (n_crystals,)
        Edges of all crystals.
    max_edges : int

    Yields
    ------
    ndarray of int
    """
    first, total = 0, 0
    for i, count in enumerate(n_edges[rows].tolist()):
        if i > first and total + count > max_edges:
            yield rows[first:i]
            first, total = i, 0
        total += count
    yield rows[first:]


def _check_finite(sites: np.ndarray, crystals: Crystals) -> None:
    """Raise ValueError at the first crystal with a site (n_sites,) that is not finite."""
    bad = ~np.logical_and.reduceat(sites, crystals.offsets[:-1])
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{crystals.where(row)}: the potential gives no finite numbers"
            f"{such_rows(int(bad.sum()))}; atoms may be far too close, or training has diverged"
        )
