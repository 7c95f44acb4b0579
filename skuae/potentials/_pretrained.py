"""Parts of a fitted potential: files, elements and reference energies."""

from os import PathLike
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._nested import NestedParams
from skuae.embedding import ElementTable
from skuae.models import Elements
from skuae.potentials._fit import read_source
from skuae.potentials._fitted import FittedPotential
from skuae.potentials._saving import write_potential
from skuae.potentials._state import History
from skuae.training import library_defaults, resolve_device


class PretrainedPotential(NestedParams, BaseEstimator):
    """A fitted potential, to a folder and back."""

    fitted_: FittedPotential
    history_: History

    def save_pretrained(self, folder: str | PathLike[str], *, notes: str = "") -> None:
        """Write the potential to a folder, for `from_pretrained` and `init_from`.

        Parameters
        ----------
        folder : str or path-like
            Made if missing; an older potential in it is replaced at once.
        notes : str, default=""
            What others should know: data, method, licence.
        """
        check_is_fitted(self)
        write_potential(folder, self.fitted_, self.history_, notes)

    @classmethod
    def from_pretrained(cls, folder: Any, *, device: str = "auto") -> Self:
        """Read a potential, ready to predict.

        Parameters
        ----------
        folder : str, path-like, or model of the mace-torch package
            What `save_pretrained` wrote; ``"chgnet-0.3.0"``, ``"chgnet-0.2.0"`` or
            ``"chgnet-r2scan"`` where the chgnet package is installed; ``"sevennet-0"`` where the
            sevenn package is; or a ``mace.modules.ScaleShiftMACE``, of which a copy is taken.
        device : str, default="auto"

        Returns
        -------
        CrystalPotential
            Fitted.

        Raises
        ------
        FileNotFoundError
            If the folder holds no potential.
        ImportError
            If the chgnet, sevenn or mace-torch package is needed and not installed.
        TypeError
            If a model is of another kind.
        ValueError
            If the file is damaged, or holds something else: `skuae.load` reads what `skuae.save`
            wrote. If a model has several heads, or settings that skuae does not know.
        """
        with library_defaults():
            fitted, history = read_source(folder)
            fitted.module.to(resolve_device(device))
        dtype = str(fitted.dtype).removeprefix("torch.")
        potential = cls(fitted.backbone, freeze_embedding=fitted.frozen, dtype=dtype, device=device)
        potential.fitted_, potential.history_ = fitted, history
        return potential

    @property
    def element_table_(self) -> ElementTable:
        """The element vectors as they are after fit, an `ElementTable`."""
        check_is_fitted(self)
        elements: Elements = self.fitted_.module.elements
        vectors = elements.table().detach().double().cpu().numpy()
        seen = self.fitted_.seen
        return ElementTable(
            vectors[seen[: len(vectors)]], symbols=np.flatnonzero(seen) + 1, name="potential"
        )

    @property
    def reference_energies_(self) -> dict[str, float]:
        """Energies of the elements of training in eV per atom, by symbol."""
        check_is_fitted(self)
        return self.fitted_.named_references()

    @property
    def target_names_(self) -> list[str]:
        """The name of what `predict` returns."""
        return ["energy"]

    @property
    def target_units_(self) -> list[str]:
        """The unit of what `predict` returns, for a cell."""
        return ["eV"]
