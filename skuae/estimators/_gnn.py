"""What the regressor and the classifier on graph networks share: backbone and element table."""

import warnings

import numpy as np
import torch

from skuae import models
from skuae.crystals import PackedTensors
from skuae.embedding import ElementTable, get_table, resolve_table, table_names
from skuae.embedding._elements import SYMBOLS
from skuae.models import resolve_backbone


class GraphNetworkMixin:
    """The network of an estimator with the parameters `backbone`, `embedding`, `freeze_embedding`.

    It asks a backbone for ``native_table``, ``native_frozen``, ``default_lr``, ``clip_norm``,
    ``graph_of`` and ``build``, and the module that this returns for ``elements``, ``first_layer``
    and a ``head``.
    """

    _relatives: tuple[str, ...] = ("CrystalGNNRegressor", "CrystalGNNClassifier")

    def _prepare(self, crystals, table, y, sample_weight, source, train):
        backbone = resolve_backbone(self.backbone)
        native = False
        self._coords = None
        if self.coords and source is None and not hasattr(self.embedding, "fit"):
            raise ValueError(
                "coords=True takes the map of coordinates of a front-end: pass "
                "embedding=CrystalTransformerRegressor(...), or set coords=False"
            )
        if source is not None:
            same_kind = type(backbone) is type(source._backbone)
            if not same_kind or backbone.get_params() != source._backbone.get_params():
                raise ValueError(
                    f"the model to start from has backbone {source._backbone}, "
                    f"this one {backbone}; use the same, or start anew"
                )
            self._check_table_of(source, table)
            self._table, native = source._trained_table(), source._native
            self._coords = source._coords
        elif self.embedding is not None:
            if table is not None and table.name != _name_of(self.embedding):
                warnings.warn(
                    f"embedding=... is used, and not the table {table.name!r} that came with X",
                    stacklevel=4,
                )
            weight = None if sample_weight is None else sample_weight[train]
            self._table, learner = resolve_table(
                self.embedding, crystals[train], y[train], sample_weight=weight
            )
            if self.coords:
                self._coords = _coords_of(learner)
        elif table is not None:  # came with X
            self._table = table
        else:
            self._table, native = get_table(backbone.native_table), True
        self._backbone = backbone
        self._native = native
        self._frozen = bool(self.freeze_embedding or (native and backbone.native_frozen))
        self._check_elements(crystals)
        rows, numbers, _ = crystals.composition()
        seen = np.zeros(118, dtype=bool) if source is None else source._seen.copy()
        seen[numbers[np.isin(rows, train)] - 1] = True
        self._seen = seen

    def _check_table_of(self, source, table):
        """Raise if another table is asked for than that of the model to start from."""
        own = source._table.name.removesuffix("-tuned")
        asked = _name_of(self.embedding if self.embedding is not None else table)
        if asked not in (None, own):
            raise ValueError(
                f"the model to start from has its own element table, {own!r}: leave embedding=None "
                "(and no UAETransformer with another table before this step), or init_from=None"
            )

    def _pack(self, crystals, device):
        coords = self._coords is not None
        graphs = self._backbone.graph_of(crystals, merge=not coords)
        return PackedTensors(crystals, graphs, device=device, dtype=self._dtype, coords=coords)

    def _build(self, n_outputs):
        values = torch.tensor(np.nan_to_num(self._table.values))  # rows not covered are never read
        return self._backbone.build(values, self._frozen, n_outputs, self._coords)

    def _check_known(self, crystals, rows, numbers):
        unknown = np.flatnonzero(~self._table.seen[numbers - 1])
        if len(unknown):
            row, symbol = int(rows[unknown[0]]), SYMBOLS[numbers[unknown[0]] - 1]
            way_out = (
                "use a table that covers it, the mean of the others for it (ElementTable."
                'fill_missing, or UAETransformer(on_missing_element="mean") before this step)'
            )
            if self.init_from is not None:
                way_out = "start from a model with a table that covers it"
            raise ValueError(
                f"{crystals.where(row)}: element table {self._table.name!r} has no vector for "
                f"{symbol} ({len(np.unique(rows[unknown]))} such rows); {way_out}, or drop the row"
            )

    def _peak_lr(self):
        return self._backbone.default_lr if self.lr == "auto" else self.lr

    def _clip_norm(self):
        return self._backbone.clip_norm

    def _element_lr_ratio(self):
        return 1.0 if self._native else self.embedding_lr_ratio  # from scratch, not fine-tuning

    def _train(self, *args):
        super()._train(*args)
        if self._native and not self._frozen:
            # Vectors that were drawn and never trained say nothing; the mean of the others is the
            # best guess there is.
            weight = self.net_.module_.elements.weight
            seen = torch.as_tensor(self._seen, device=weight.device)
            with torch.no_grad():
                weight[~seen] = weight[seen].mean(dim=0)

    def _make_table(self):
        """Return the element vectors that were learned (Method II of the paper)."""
        module, name = self.net_.module_, type(self._backbone).__name__.lower()
        features = self._native and self._backbone.native_frozen
        with torch.no_grad():
            if features or self._table.name == "onehot":
                # What the network has learned about an element lies behind its first layer.
                vectors = module.first_layer(module.elements.weight)
            elif self._native and not self._frozen:
                vectors = module.elements.weight
            else:
                return self._trained_table()
        known = self._table.seen if features else self._seen
        return ElementTable(
            vectors.detach().cpu().numpy()[known],
            symbols=np.flatnonzero(known) + 1,
            name=f"{name}-learned",
            metadata={
                "description": f"element vectors learned by {name}",
                "input": self._table.name,
            },
        )

    def _trained_table(self):
        """Return the vectors that the network looks up, as they are now."""
        name = self._table.name
        vectors = self.net_.module_.elements.weight.detach().cpu().numpy()
        return ElementTable(
            vectors[self._table.seen],
            symbols=self._table.symbols,
            name=name if self._frozen else f"{name.removesuffix('-tuned')}-tuned",
            metadata=self._table.metadata,
            columns=self._table.columns,
        )

    def _get_fitted(self):
        if getattr(models, type(self._backbone).__name__, None) is not type(self._backbone):
            raise TypeError(
                f"backbone {type(self._backbone).__name__} is not one of skuae.models: a saved "
                "model could not be read again; pickle the estimator instead"
            )
        table = self._table
        card = {"name": table.name, "columns": table.columns, "metadata": table.metadata}
        arrays = {"table.values": table.values[table.seen], "table.seen": table.seen}
        arrays["seen"] = self._seen
        return {"table": card, "native": self._native, "frozen": self._frozen}, arrays

    def _set_fitted(self, config, arrays):
        seen = np.flatnonzero(arrays["table.seen"]) + 1
        self._table = ElementTable(arrays["table.values"], symbols=seen, **config["table"])
        self._native, self._frozen = config["native"], config["frozen"]
        self._seen = arrays["seen"]
        names = ("module.elements.coords_weight", "module.elements.coords_bias")
        self._coords = tuple(torch.tensor(arrays[n]) for n in names) if names[0] in arrays else None
        self._backbone = resolve_backbone(self.backbone)
        if self.embedding is None and not self._native:
            self.embedding = self._table  # what it was could not be saved; a fit would need it


def _coords_of(front_end):
    """Return weight and bias of the map of coordinates of a fitted front-end, for Å."""
    front_end = getattr(front_end, "estimator", front_end)  # a FrozenEstimator
    module = front_end.net_.module_
    if not hasattr(module, "coords"):
        raise ValueError(
            f"coords=True: {type(front_end).__name__} has no map of coordinates; use a "
            "CrystalTransformerRegressor as embedding, or set coords=False"
        )
    weight, bias = module.coords.weight.detach().cpu(), module.coords.bias.detach().cpu()
    return weight / module.coords_scale, bias


def _name_of(embedding):
    """Return the name of a table, or None: of a path, frame or estimator there is no telling."""
    if isinstance(embedding, ElementTable):
        return embedding.name.removesuffix("-tuned")
    return embedding if isinstance(embedding, str) and embedding in table_names() else None
