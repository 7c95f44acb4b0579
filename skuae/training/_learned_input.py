"""Element vectors that a CrystalTransformer learns from known properties of elements."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from skuae._cards import take, take_array, take_texts
from skuae._elements import N_ELEMENTS
from skuae._messages import such_rows
from skuae.crystals import Crystals, as_crystals
from skuae.embedding import ElementTable, table_names
from skuae.models import N_LEARNED, Backbone, CrystalModule, Elements, LearnedElements
from skuae.training._composition import first_with
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._element_features import stack_features
from skuae.training._net import CrystalNet
from skuae.training._network import ElementInput, Network
from skuae.training._sensitivity import scale_by, sensitivity
from skuae.training._settings import Settings
from skuae.training._task import FitData, FittedTask

_SENSITIVITY_ROWS = 8192  # crystals that gradients are averaged over: enough for a 128 x 128 matrix


@dataclass(frozen=True, eq=False)
class LearnedInput(ElementInput):
    """Rows of the elements' own, and a learned map of their features.

    Attributes
    ----------
    seen : ndarray of bool of shape (118,)
        Elements of the training rows.
    tables : list of str or ElementTable
        Where the features come from; see `named`.
    guess : bool
        Whether elements that were not seen count as the mean of the others.
    scaled : bool
        Whether the learned table is scaled by what predictions depend on.
    targets : list of str or None
        Names of the targets, for the table.
    sensitivity : ndarray of shape (d, d) or None
        See `training._sensitivity`; known after training.
    """

    seen: np.ndarray
    tables: list[Any]
    guess: bool
    scaled: bool
    targets: list[str] | None = None
    sensitivity: np.ndarray | None = None
    features: np.ndarray | None = field(init=False)
    has_features: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        features, complete = stack_features(self.tables or None)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "has_features", complete)

    def build(self, backbone: Backbone) -> Elements:
        features = None if self.features is None else torch.tensor(self.features)
        width: int = backbone.d_model // 2
        return LearnedElements(width, backbone.input_norm, features)

    def check(self, crystals: Crystals) -> None:
        check_in_reach(crystals)
        unseen = None if self.guess else first_with(crystals, ~self.seen)
        if unseen is not None:
            raise ValueError(
                f"{unseen.where}: {unseen.symbol} was in none of the crystals that the model was "
                f"fitted on{such_rows(unseen.n_rows)}; fit on crystals that contain it, drop the "
                'row, or set on_missing_element="mean"'
            )

    def lr_ratio(self, ratio: float) -> float:
        return ratio

    def finished(
        self, network: Network, net: CrystalNet, data: FitData, settings: Settings, task: FittedTask
    ) -> "LearnedInput":
        # Rows of elements that no training row has are as they were drawn; the mean of the others
        # (beside their features) is the best guess there is, and what "mean" stands for.
        elements = net.module_.elements
        assert isinstance(elements, LearnedElements)  # built above
        weight = elements.linear.weight
        unseen = torch.as_tensor(~self.seen[:N_LEARNED], device=weight.device)
        with torch.no_grad():
            weight[:, unseen] = weight[:, ~unseen].mean(dim=1, keepdim=True)
        if not self.scaled:
            return replace(self, sensitivity=None)
        rows = np.random.default_rng(settings.seed).permutation(data.train)[:_SENSITIVITY_ROWS]
        device = weight.device
        packed = network.pack(as_crystals(data.crystals[rows]), device)
        dataset = CrystalDataset(packed, np.arange(len(rows)))
        loader = CrystalLoader(dataset, settings.batch_size, shuffle=False, by_size=True)
        return replace(self, sensitivity=sensitivity(net, loader, task.target_weights))

    def learned(self, module: CrystalModule, backbone: Backbone) -> ElementTable:
        covered = self.seen
        if self.guess and self.has_features is not None:
            covered = covered | self.has_features
        with torch.no_grad():
            vectors = module.elements.table().cpu().numpy()[covered[:N_LEARNED]]
        if self.sensitivity is not None:
            vectors = scale_by(vectors, self.sensitivity)
        return ElementTable(
            vectors,
            symbols=np.flatnonzero(covered) + 1,
            name="ct-uae",
            metadata={
                "description": "universal atomic embeddings learned by CrystalTransformerRegressor",
                "targets": self.targets,
            },
        )

    def state(self) -> tuple[dict, dict[str, np.ndarray]]:
        cards: list[str | dict[str, Any]] = []
        arrays = {"seen": self.seen}
        for i, table in enumerate(self.tables):
            if isinstance(table, str):
                cards.append(table)
            else:  # of the user's own
                cards.append({"name": table.name, "symbols": table.symbols})
                arrays[f"element_features.{i}"] = table.values[table.seen]
        if self.sensitivity is not None:
            arrays["sensitivity"] = self.sensitivity
        return {"tables": cards, "guess": self.guess, "scaled": self.scaled}, arrays

    @classmethod
    def from_state(
        cls, config: dict, arrays: dict[str, np.ndarray], targets: list[str] | None
    ) -> "LearnedInput":
        """Return the input that `state` was taken of.

        Parameters
        ----------
        config : dict
        arrays : dict of str to ndarray
            Those of the input are removed.
        targets : list of str or None

        Returns
        -------
        LearnedInput

        Raises
        ------
        ValueError
            If something in them makes no sense.
        """
        tables: list[Any] = []
        for i, card in enumerate(take(config, "tables", list)):
            if card in table_names():
                tables.append(card)
                continue
            values = take_array(arrays, f"element_features.{i}", np.float32, (None, None))
            name = take(card, "name", str)
            tables.append(ElementTable(values, take_texts(card, "symbols"), name=name))
        seen = take_array(arrays, "seen", bool, (N_ELEMENTS,))
        if not seen.any() or seen[N_LEARNED:].any():
            raise ValueError(f"the elements of the training rows are none of 1 to {N_LEARNED}")
        scaled = take(config, "scaled", bool)
        matrix = take_array(arrays, "sensitivity", np.float64, (None, None)) if scaled else None
        return cls(seen, tables, take(config, "guess", bool), scaled, targets, matrix)


def check_in_reach(crystals: Crystals, among: np.ndarray | None = None) -> None:
    """Raise ValueError at the first crystal with an element that has no row of its own.

    Parameters
    ----------
    crystals : Crystals
    among : ndarray of int, optional
        The rows that count; all by default.

    Raises
    ------
    ValueError
    """
    beyond = first_with(crystals, np.arange(N_ELEMENTS) >= N_LEARNED, among)
    if beyond is not None:
        raise ValueError(
            f"{beyond.where}: CrystalTransformer knows the elements up to Z={N_LEARNED}, the "
            f"structure has {beyond.symbol}; drop the row"
        )
