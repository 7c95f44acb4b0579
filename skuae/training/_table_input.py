"""Element vectors that start from a given table, or from that of the back-end's paper."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import overload

import numpy as np
import torch
from torch import Tensor

from skuae._cards import take, take_array, take_texts
from skuae._elements import N_ELEMENTS
from skuae._messages import such_rows
from skuae._warnings import warn
from skuae.crystals import Crystals
from skuae.embedding import ElementTable, get_table
from skuae.models import Backbone, CrystalModule, ElementEmbedding, Elements, backbone_name
from skuae.training._composition import first_with
from skuae.training._net import CrystalNet
from skuae.training._network import ElementInput, Network
from skuae.training._settings import Settings
from skuae.training._task import FitData, FittedTask

Coords = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class TableInput(ElementInput):
    """An element table, and what becomes of it.

    Attributes
    ----------
    table : ElementTable
        What training starts from.
    kind : {"table", "features", "own"}
        Given by the user; or, with none given, features of atoms that the back-end's paper has; or
        vectors that the back-end draws and trains like all else.
    frozen : bool
        Whether the vectors stay as they are.
    seen : ndarray of bool of shape (118,)
        Elements of the training rows.
    origin : str
        Fingerprint of the table that the first of all fits started from.
    remedy : str
        How the user gets a table that covers more elements, for errors.
    coords : tuple of Tensor of shape (c, 3) and (c,), or None
        Map of the Cartesian coordinates in Å that is put beside the vectors.
    """

    table: ElementTable
    kind: str
    frozen: bool
    seen: np.ndarray
    origin: str
    remedy: str
    coords: Coords | None = None

    @property
    def keeps_sites(self) -> bool:
        return self.coords is not None

    @property
    def one_hot(self) -> bool:
        """Whether all that is known of an element is which one it is."""
        return self.origin == _one_hot_digest()

    def build(self, backbone: Backbone) -> Elements:
        values = torch.tensor(self.table.lookup(np.arange(1, N_ELEMENTS + 1), "mean"))
        return ElementEmbedding(values, self.frozen, self.coords)

    def check(self, crystals: Crystals) -> None:
        check_covered(self.table, crystals, self.remedy)
        if not (self.one_hot or self.kind == "own"):
            return
        new = first_with(crystals, ~self.seen)
        if new is not None:
            warn(
                f"{new.where}: {new.symbol} was in none of the crystals of fit, and the model can "
                f"only guess what it is like{such_rows(new.n_rows)}; an embedding that knows it, "
                'such as "ct-uae-mt" or "magpie", would do better'
            )

    def lr_ratio(self, ratio: float) -> float:
        return ratio if self.kind == "table" else 1.0  # its own are weights like others

    def finished(
        self, network: Network, net: CrystalNet, data: FitData, settings: Settings, task: FittedTask
    ) -> "TableInput":
        if self.kind == "own" and not self.frozen:
            # Vectors that were drawn and never trained say nothing; the mean of the others is the
            # best guess there is.
            weight = net.module_.elements.table()
            seen = torch.as_tensor(self.seen, device=weight.device)
            with torch.no_grad():
                weight[~seen] = weight[seen].mean(dim=0)
        return self

    def looked_up(self, module: CrystalModule) -> ElementTable:
        """Return the vectors that the network looks up, as they are now.

        Parameters
        ----------
        module : CrystalModule

        Returns
        -------
        ElementTable
        """
        name = self.table.name
        vectors = module.elements.table().detach().cpu().numpy()
        return ElementTable(
            vectors[self.table.seen],
            symbols=self.table.symbols,
            name=name if self.frozen else f"{name.removesuffix('-tuned')}-tuned",
            metadata=self.table.metadata,
            columns=self.table.columns,
        )

    def _read_through(self, module: CrystalModule, backbone: Backbone) -> ElementTable:
        """Return the learned vectors, or the output of the first layer for fixed features."""
        vectors = module.elements.table()
        if self.kind == "features" or self.one_hot:  # the vectors themselves are not its own
            with torch.no_grad():
                vectors = module.first_layer(vectors)
        known = self.table.seen if self.kind == "features" and not self.one_hot else self.seen
        name = backbone_name(backbone)
        return ElementTable(
            vectors.detach().cpu().numpy()[known],
            symbols=np.flatnonzero(known) + 1,
            name=f"{name}-learned",
            metadata={
                "description": f"element vectors learned by {name}",
                "input": self.table.name,
            },
        )

    def learned(self, module: CrystalModule, backbone: Backbone) -> ElementTable:
        if self.kind == "table" and not self.one_hot:
            return self.looked_up(module)
        return self._read_through(module, backbone)

    def state(self) -> tuple[dict, dict[str, np.ndarray]]:
        table = self.table
        arrays = {
            "table.values": table.values[table.seen],
            "table.seen": table.seen,
            "seen": self.seen,
        }
        if self.coords is not None:
            arrays["coords.weight"], arrays["coords.bias"] = (c.numpy() for c in self.coords)
        card = {"name": table.name, "columns": table.columns, "metadata": table.metadata}
        facts = {"kind": self.kind, "frozen": self.frozen, "origin": self.origin}
        return {"table": card, **facts}, arrays

    @classmethod
    def from_state(cls, config: dict, arrays: dict[str, np.ndarray], remedy: str) -> "TableInput":
        """Return the input that `state` was taken of.

        Parameters
        ----------
        config : dict
        arrays : dict of str to ndarray
            Those of the input are removed.
        remedy : str

        Returns
        -------
        TableInput

        Raises
        ------
        ValueError
            If something in them makes no sense.
        """
        coords = None
        if "coords.weight" in arrays:
            weight = take_array(arrays, "coords.weight", np.float32, (None, 3))
            bias = take_array(arrays, "coords.bias", np.float32, weight.shape[:1])
            coords = torch.tensor(weight), torch.tensor(bias)
        covered = take_array(arrays, "table.seen", bool, (N_ELEMENTS,))
        seen = take_array(arrays, "seen", bool, (N_ELEMENTS,))
        card = take(config, "table", dict)
        table = ElementTable(
            take_array(arrays, "table.values", np.float32, (None, None)),
            symbols=np.flatnonzero(covered) + 1,
            name=take(card, "name", str),
            metadata=take(card, "metadata", dict),
            columns=take_texts(card, "columns"),
        )
        if not seen.any() or (seen & ~covered).any():
            raise ValueError("the elements of the training rows are not in the table")
        kind = take(config, "kind", str, among=("table", "features", "own"))
        frozen = take(config, "frozen", bool)
        return cls(table, kind, frozen, seen, take(config, "origin", str), remedy, coords)


def check_covered(
    table: ElementTable, crystals: Crystals, way_out: str, among: np.ndarray | None = None
) -> None:
    """Raise if a table knows nothing of an element; name the first row with one.

    Parameters
    ----------
    table : ElementTable
    crystals : Crystals
    way_out : str
        What the user can do about it.
    among : ndarray of int, optional
        The rows that count; all by default.

    Raises
    ------
    ValueError
    """
    unknown = first_with(crystals, ~table.seen, among)
    if unknown is not None:
        raise ValueError(
            f"{unknown.where}: element table {table.name!r} has no vector for {unknown.symbol}"
            f"{such_rows(unknown.n_rows)}; {way_out}, or drop the row"
        )


@overload
def table_digest(table: ElementTable) -> str: ...


@overload
def table_digest(table: None) -> None: ...


def table_digest(table: ElementTable | None) -> str | None:
    """Return a fingerprint of the values of a table; None for None.

    Parameters
    ----------
    table : ElementTable or None

    Returns
    -------
    str or None
    """
    if table is None:
        return None
    return hashlib.sha256(np.nan_to_num(table.values).tobytes() + table.seen.tobytes()).hexdigest()


@cache
def _one_hot_digest() -> str:
    return table_digest(get_table("onehot"))
