"""CrystalBERT: words of the space group, electrons, composition and a graph network as tokens."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skuae._numbers import is_real
from skuae.crystals import (
    CrystalBatch,
    Crystals,
    CrystalSymmetry,
    check_symprec,
    count_electrons,
    space_group_names,
)
from skuae.models._backbone import Augmentation, Backbone, CrystalModule, Inputs
from skuae.models._cgcnn import CGCNN
from skuae.models._elements import Elements
from skuae.models._encoder import EncoderLayer
from skuae.models._layers import mean_over_sites

# The kinds of tokens, and the tokens of each.
TOKENS = {
    "space_group": ("symbol", "point_group", "crystal_system", "laue_class", "symmetry_class"),
    "electrons": ("electrons",),
    "elements": ("elements",),
    "gnn": ("gnn",),
}
_MOST_DIGITS = 40


class CrystalBERT(Backbone):
    """Specification of a CrystalBERT back-end: a transformer over eight tokens of a crystal.

    Five words name the space group: its symbol, point group, crystal system, Laue class and
    symmetry class. The sixth token is the number of electrons of the primitive cell, in binary
    digits. The seventh is the mean of the element vectors of its atoms. The eighth is the crystal
    vector of a graph network, which is trained with the rest. One linear layer reads the joined
    outputs.

    Parameters
    ----------
    gnn : str or Backbone, default="cgcnn"
        The graph network. "cgcnn" is ``CGCNN(n_hidden=0)``, whose mean over sites is read, as
        published. Only an object has parameters that a grid can search: with
        ``gnn=CGCNN(n_hidden=0)``, ``backbone__gnn__n_conv`` is one.
    d_model : int, default=256
        Width of the tokens.
    n_layers : int, default=5
        Encoder layers. 0 leaves the transformer out: the tokens are joined as they are.
    n_heads : int, default=4
    d_ff : int, default=1024
        Width of the feed-forward part of each layer.
    dropout : float, default=0.1
    tokens : sequence of str, default=("space_group", "electrons", "elements", "gnn")
        The kinds of tokens to use. "elements" or "gnn" must be among them.
    softmax_tokens : bool, default=False
        Take the softmax of each token's output over its components, as published. Each token can
        then contribute little.
    electron_digits : int, default=14
        Binary digits of the number of electrons.
    symprec : float, default=0.1
        Tolerance in Å within which the space group is found; see `Crystals.symmetry`.

    Notes
    -----
    The paper gives neither the width of the feed-forward part, nor dropout, activation (GELU here),
    positions (learned here) and tolerance. It counts electrons "in the unit cell"; here it is the
    primitive cell, so that the number does not depend on the cell that was given.

    If a symmetry holds only just within `symprec`, the space group and the prediction may depend on
    the description of the crystal. Mirror images have different words if their groups are one of
    the eleven enantiomorphic pairs.

    ``CrystalBERT(d_model=128, n_layers=3, d_ff=512)`` is lighter, and suits a few thousand labels.
    """

    native_table = "cgcnn"
    native_frozen = True
    default_lr = 1e-3
    reads = "space group, electrons of the primitive cell, and what its graph network reads"

    def __init__(
        self,
        gnn: str | Backbone = "cgcnn",
        d_model: int = 256,
        n_layers: int = 5,
        n_heads: int = 4,
        d_ff: int = 1024,
        dropout: float = 0.1,
        *,
        tokens: Sequence[str] = ("space_group", "electrons", "elements", "gnn"),
        softmax_tokens: bool = False,
        electron_digits: int = 14,
        symprec: float = 0.1,
    ) -> None:
        self.gnn = gnn
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.d_ff = d_ff
        self.dropout = dropout
        self.tokens = tokens
        self.softmax_tokens = softmax_tokens
        self.electron_digits = electron_digits
        self.symprec = symprec

    def check(self) -> None:
        if isinstance(self.gnn, type) or not isinstance(self.gnn, (str, Backbone)):
            raise TypeError(
                "gnn must be the name of a back-end, or an object such as CGCNN(); got "
                f"{self.gnn!r}"
            )
        if isinstance(self._gnn(), CrystalBERT):  # which checks its parameters
            raise ValueError("gnn must be another back-end than CrystalBERT")
        self._check_at_least(1, "d_model", "n_heads", "d_ff")
        self._check_at_least(0, "n_layers")
        self._check_at_least(1, "electron_digits", most=_MOST_DIGITS)
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model must be a multiple of n_heads={self.n_heads}; got {self.d_model}"
            )
        if not is_real(self.dropout) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {self.dropout!r}")
        if not isinstance(self.softmax_tokens, (bool, np.bool_)):
            raise ValueError(f"softmax_tokens must be True or False; got {self.softmax_tokens!r}")
        check_symprec(self.symprec)
        self._check_tokens()

    def _check_tokens(self) -> None:
        known, kinds = ", ".join(TOKENS), self.tokens
        if isinstance(kinds, str) or not isinstance(kinds, Sequence):
            raise ValueError(f"tokens must be a sequence of some of {known}; got {kinds!r}")
        for kind in kinds:
            if not isinstance(kind, str) or kind not in TOKENS:
                raise ValueError(f"tokens must be some of {known}; got {kind!r} among them")
        if len({*kinds}) < len(kinds):
            raise ValueError(f"tokens must be named once each; got {kinds!r}")
        if not {"elements", "gnn"} & {*kinds}:
            raise ValueError(
                'tokens must have "elements" or "gnn", or the network does not see the elements; '
                f"got {kinds!r}"
            )

    def inputs(self, crystals: Crystals, *, merge: bool = True) -> Inputs:
        inner, columns = Inputs(), {}
        if "gnn" in self.tokens:
            inner = self._gnn().inputs(crystals, merge=merge)
        if {"space_group", "electrons"} & {*self.tokens}:
            symmetry = crystals.symmetry(self.symprec)
        if "space_group" in self.tokens:
            columns["words"] = _words()[symmetry.space_groups - 1]
        if "electrons" in self.tokens:
            columns["electrons"] = self._electron_digits(crystals, symmetry)
        if "elements" in self.tokens:
            rows, _, amounts = crystals.composition()
            atoms = np.bincount(rows, amounts, len(crystals))
            columns["occupied"] = np.round(atoms / crystals.sizes, 6).astype(np.float32)
        shared = sorted(inner.columns.keys() & columns.keys())
        if shared:
            raise ValueError(
                f"the graph network reads a column {shared[0]!r}, as CrystalBERT itself; give it "
                "another name"
            )
        return Inputs(inner.graphs, inner.coords, {**inner.columns, **columns})

    def build(self, elements: Elements, n_outputs: int) -> CrystalModule:
        return CrystalBERTModule(self, elements, n_outputs)

    def augmentation(self) -> Augmentation | None:
        return self._gnn().augmentation() if "gnn" in self.tokens else None

    # What the graph network needs, the whole needs.

    @property
    def clip_norm(self) -> float | None:  # type: ignore[override]
        return self._gnn().clip_norm if "gnn" in self.tokens else None

    @property
    def pads(self) -> bool:  # type: ignore[override]
        return "gnn" in self.tokens and self._gnn().pads

    @property
    def has_bf16(self) -> bool:  # type: ignore[override]
        return "gnn" in self.tokens and self._gnn().has_bf16

    @property
    def invariant(self) -> bool:  # type: ignore[override]
        return "gnn" not in self.tokens or self._gnn().invariant

    def spelled_out(self) -> dict[str, Any]:
        return {**super().spelled_out(), "gnn": self._gnn()}

    def _gnn(self) -> Backbone:
        from skuae.models._registry import resolve_backbone  # here: it knows this class

        return CGCNN(n_hidden=0) if self.gnn == "cgcnn" else resolve_backbone(self.gnn)

    def _electron_digits(self, crystals: Crystals, symmetry: CrystalSymmetry) -> np.ndarray:
        """Return the electrons of primitive cells in binary, (n_crystals, electron_digits)."""
        counts = np.rint(count_electrons(crystals, symmetry)).astype(np.int64)
        digits = int(self.electron_digits)
        if len(counts) and counts.max() >= 2**digits:
            row = int(counts.argmax())
            raise ValueError(
                f"{crystals.where(row)} has {counts[row]} electrons in its primitive cell, which "
                f"{digits} binary digits cannot hold; set electron_digits to at least "
                f"{int(counts[row]).bit_length()}"
            )
        return (counts[:, None] >> np.arange(digits)[::-1] & 1).astype(np.float32)


@lru_cache
def vocabulary() -> tuple[str, ...]:
    """Return all words about space groups, sorted."""
    return tuple(sorted({word for names in space_group_names().values() for word in names}))


@lru_cache
def _words() -> np.ndarray:
    """Return the numbers of the words of each space group, (230, 5)."""
    names = space_group_names()
    known = np.array(vocabulary())
    return np.stack([np.searchsorted(known, names[name]) for name in TOKENS["space_group"]], axis=1)


class CrystalBERTModule(CrystalModule):
    """The network; shapes with B crystals, T tokens, d = d_model.

    Attributes
    ----------
    token_names : list of str
        The tokens in their order.
    """

    def __init__(self, spec: CrystalBERT, elements: Elements, n_outputs: int) -> None:
        super().__init__()
        d = spec.d_model
        self.softmax_tokens = spec.softmax_tokens
        self.token_names = [name for kind in TOKENS if kind in spec.tokens for name in TOKENS[kind]]
        self.gnn: CrystalModule | None = None
        if "gnn" in spec.tokens:
            self.gnn = spec._gnn().build(elements, 1)
            self.gnn.head = nn.Identity()  # nobody reads it
            self.from_gnn = nn.Linear(self.gnn.width, d)
        else:
            self._elements = elements
        if "space_group" in spec.tokens:
            self.words = nn.Embedding(len(vocabulary()), d)
        if "electrons" in spec.tokens:
            self.from_electrons = nn.Linear(spec.electron_digits, d)
        if "elements" in spec.tokens:
            self.from_elements = nn.Linear(elements.n_dims, d)
        n_tokens = len(self.token_names)
        self.positions = nn.Parameter(torch.randn(n_tokens, d) * 0.02)
        self.layers = nn.ModuleList(
            EncoderLayer(d, spec.n_heads, spec.d_ff, spec.dropout, F.gelu)
            for _ in range(spec.n_layers)
        )
        self.width = n_tokens * d
        self.head = nn.Linear(self.width, n_outputs)

    @property
    def elements(self) -> Elements:  # type: ignore[override]  # registered once
        return self._elements if self.gnn is None else self.gnn.elements

    @property
    def first_layer(self) -> nn.Module:
        return self.from_elements if self.gnn is None else self.gnn.first_layer

    def embed(self, batch: CrystalBatch) -> Tensor:
        x = self.read(batch)
        for layer in self.layers:
            x = layer(x)
        if self.softmax_tokens:
            x = x.softmax(dim=-1)
        return x.flatten(1)  # (B, T * d)

    def read(self, batch: CrystalBatch) -> Tensor:
        """Return the tokens before the transformer.

        Parameters
        ----------
        batch : CrystalBatch

        Returns
        -------
        Tensor of shape (B, T, d_model)
        """
        tokens = []
        if "symbol" in self.token_names:
            tokens.append(self.words(batch.words))  # (B, 5, d)
        if "electrons" in self.token_names:
            tokens.append(self.from_electrons(batch.electrons)[:, None])
        if "elements" in self.token_names:
            mean = mean_over_sites(self.elements(batch), batch) / batch.occupied[:, None]
            tokens.append(self.from_elements(mean)[:, None])
        if self.gnn is not None:
            tokens.append(self.from_gnn(self.gnn.embed(batch))[:, None])
        return torch.cat(tokens, dim=1) + self.positions
