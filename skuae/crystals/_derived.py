"""Results that are computed once from crystals, kept with them, and shared with their slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skuae.crystals._symmetry import (
    SYMPREC,
    CrystalSymmetry,
    check_symprec,
    find_symmetry,
    warn_of_no_symmetry,
)

if TYPE_CHECKING:
    from skuae.crystals._crystals import Crystals

# A slice this large a part of its parent has all computed for the whole parent: the other slices of
# a cross-validation then find it ready.
_SHARE_FROM = 0.1

Symmetries = Mapping[tuple, CrystalSymmetry]


class Derived:
    """Graphs and symmetry of some crystals: those that are ready, and where more may be.

    Parameters
    ----------
    ready : dict, optional
        What is known by setting.
    parent : (Crystals, ndarray of int), optional
        Other crystals, and the rows of them that these crystals are.
    """

    def __init__(
        self,
        ready: Mapping[tuple, Any] | None = None,
        parent: tuple[Crystals, np.ndarray] | None = None,
    ) -> None:
        self.ready: dict[tuple, Any] = dict(ready or {})
        self.parent = parent

    @property
    def warns(self) -> bool:
        """Whether to warn of what is remarkable each time that it is asked for."""
        return self.parent is None or self.parent[0]._derived.warns

    @classmethod
    def of_slice(cls, crystals: Crystals, rows: np.ndarray) -> Derived:
        """Return what is known of some rows of crystals.

        A small slice does not keep the whole alive, and takes what takes long to compute again.
        """
        if len(rows) >= _SHARE_FROM * len(crystals):
            return cls(parent=(crystals, rows))
        known = crystals._derived.symmetries()
        return cls({setting: symmetry.take(rows) for setting, symmetry in known.items()})

    @classmethod
    def of_joined(cls, parts: Sequence[Crystals]) -> Derived:
        """Return what is known of all of several crystals that are joined end to end."""
        known = [part._derived.symmetries() for part in parts]
        shared = [setting for setting in known[0] if all(setting in one for one in known)]
        return cls({s: CrystalSymmetry.concatenate([one[s] for one in known]) for s in shared})

    def get(self, crystals: Crystals, setting: tuple, build: Callable[[Crystals], Any]) -> Any:
        """Return what a setting asks for; build it, for these crystals or their parent, if needed.

        Parameters
        ----------
        crystals : Crystals
            Those that this is derived from.
        setting : tuple
        build : callable
            From crystals to what is asked for, which has the method `take`.
        """
        if setting not in self.ready:
            if self.parent is None:
                self.ready[setting] = build(crystals)
            else:
                parent, rows = self.parent
                self.ready[setting] = parent._derived.get(parent, setting, build).take(rows)
        return self.ready[setting]

    def remark(self, warn: Callable[[Crystals, Any], None], crystals: Crystals, found: Any) -> None:
        """Warn of what is remarkable about what was asked for, if that is to be said each time."""
        if self.warns:
            warn(crystals, found)

    def forget(self, setting: tuple) -> None:
        """Let go of what a setting asked for, here and in the parent."""
        self.ready.pop(setting, None)
        if self.parent is not None:
            self.parent[0]._derived.forget(setting)

    def symmetries(self) -> Symmetries:
        """Return all symmetry that is known, also to the parent, by setting."""
        if self.parent is not None:
            parent, rows = self.parent
            for setting, symmetry in parent._derived.symmetries().items():
                if setting not in self.ready:
                    self.ready[setting] = symmetry.take(rows)
        return {s: x for s, x in self.ready.items() if isinstance(x, CrystalSymmetry)}


def setting_of(symprec: float) -> tuple:
    """Return the name under which symmetry is kept."""
    return "symmetry", symprec


def find_and_keep(
    crystals: Crystals, symprec: float, n_jobs: int | None, verbose: int
) -> CrystalSymmetry:
    """Return the symmetry of crystals; see :meth:`Crystals.symmetry`."""
    symprec = check_symprec(symprec)
    find = partial(find_symmetry, symprec=symprec, n_jobs=n_jobs, verbose=verbose)
    symmetry = crystals._derived.get(crystals, setting_of(symprec), find)
    crystals._derived.remark(warn_of_no_symmetry, crystals, symmetry)
    return symmetry


def symmetry_of_rows(
    crystals: Crystals,
    rows: ArrayLike,
    symprec: float = SYMPREC,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> CrystalSymmetry:
    """Return the symmetry of some crystals only, without a warning where there is none.

    What :meth:`Crystals.symmetry` has found before is taken. Nothing is kept.

    Parameters
    ----------
    crystals : Crystals
    rows : array-like of int, mask or slice
    symprec : float, default=0.1
    n_jobs : int, optional
    verbose : int, default=0
        As of :meth:`Crystals.symmetry`.

    Returns
    -------
    CrystalSymmetry
        Of the crystals at `rows`.
    """
    symprec = check_symprec(symprec)
    known = crystals._derived.symmetries().get(setting_of(symprec))
    if known is not None:
        return known.take(rows)
    return find_symmetry(crystals[rows], symprec, n_jobs=n_jobs, verbose=verbose)
