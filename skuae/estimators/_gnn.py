"""What the regressor and the classifier on graph networks share: backbone and element table."""

import hashlib
import warnings

import numpy as np
import torch
from sklearn.base import is_classifier

from skuae import models
from skuae._elements import SYMBOLS
from skuae.crystals import PackedTensors
from skuae.embedding import ElementTable, get_table, labels_for, resolve_table
from skuae.models import resolve_backbone

_NO_COORDS = (
    "coords=True takes the map of coordinates of a front-end: pass "
    "embedding=CrystalTransformerRegressor(...), or set coords=False"
)


class GraphNetworkMixin:
    """The network of an estimator with the parameters `backbone` and `embedding`."""

    _relatives: tuple[str, ...] = ("CrystalGNNRegressor", "CrystalGNNClassifier")

    def _prepare(self, crystals, table, y, sample_weight, source, train, valid):
        backbone = resolve_backbone(self.backbone)
        coords, native, one_hot = None, False, False
        if source is not None:
            self._check_source(source, backbone, table)
            start, origin, coords = source._trained_table(), source._origin, source._coords
            native = source._native and self.embedding is None and table is None
            one_hot = source._one_hot
        elif self.embedding is not None:
            if table is not None and _digest(table) != _digest(self._given_table()):
                warnings.warn(
                    f"embedding=... is used, and not the table {table.name!r} that came with X",
                    stacklevel=4,
                )
            if self.coords and not hasattr(self.embedding, "fit"):
                raise ValueError(_NO_COORDS)
            weight = None if sample_weight is None else sample_weight[train]
            labels = labels_for(self.embedding, y[train], is_classifier(self))
            start, learner = resolve_table(
                self.embedding, crystals[train], labels, sample_weight=weight
            )
            coords = _coords_of(learner) if self.coords else None
        elif self.coords:
            raise ValueError(_NO_COORDS)
        elif table is not None:  # came with X
            start = table
        else:
            start, native = get_table(backbone.native_table), True
        if source is None:
            origin = _digest(start)
            one_hot = origin == _digest(get_table("onehot"))
        # Rows to stop by may have elements that a table learned from the others does not know: the
        # network takes the mean for these. Rows that teach nothing are not read at all.
        learned = source is not None or hasattr(self.embedding, "fit")
        counted = train if learned else np.append(train, valid)
        _check_covered(start, crystals, self._other_table(source is self), counted)
        seen = np.zeros(118, dtype=bool) if source is None else source._seen.copy()
        rows, numbers, _ = crystals.composition()
        seen[numbers[np.isin(rows, train)] - 1] = True
        self._backbone, self._table, self._origin, self._seen = backbone, start, origin, seen
        self._native, self._one_hot, self._coords = native, one_hot, coords
        self._frozen = bool(self.freeze_embedding or (native and backbone.native_frozen))

    def _check_source(self, source, backbone, table):
        """Raise if this model is to be another one than that to start from."""
        same_kind = type(backbone) is type(source._backbone)
        if not same_kind or backbone.get_params() != source._backbone.get_params():
            raise ValueError(
                f"the model to start from has backbone {source._backbone}, "
                f"this one {backbone}; use the same, or start anew"
            )
        if bool(self.coords) != (source._coords is not None):
            raise ValueError(
                f"the model to start from was fitted with coords={source._coords is not None}; set "
                "coords to the same, or start anew"
            )
        if hasattr(self.embedding, "fit"):
            if source is self:
                return  # it was fitted then
            raise ValueError(
                "init_from brings its own element table, and embedding=... would learn another: "
                "leave embedding=None, or init_from=None"
            )
        asked = table if self.embedding is None else self._given_table()
        if asked is None:
            return
        own = source._origin, _digest(source._table), _digest(source._trained_table())
        if _digest(asked) not in own:
            anew = "set warm_start=False to start anew" if source is self else "init_from=None"
            raise ValueError(
                "the model to start from has its own element table, "
                f"{source._table.name.removesuffix('-tuned')!r}: leave embedding=None (and no "
                f"UAETransformer with another table before this step), or {anew}"
            )

    def _given_table(self):
        """Return the table that `embedding` stands for, None if that is for it to learn."""
        return None if hasattr(self.embedding, "fit") else resolve_table(self.embedding)[0]

    def _pack(self, crystals, device, merge=True):
        coords = self._coords is not None
        graphs = self._backbone.graph_of(crystals, merge=merge and not coords)
        return PackedTensors(crystals, graphs, device=device, dtype=self._dtype, coords=coords)

    def _build(self, n_outputs):
        values = torch.tensor(self._table.lookup(np.arange(1, 119), "mean"))
        return self._backbone.build(values, self._frozen, n_outputs, self._coords)

    def _check_known(self, crystals, rows, numbers):
        _check_covered(self._table, crystals, self._other_table(continued=False))
        guessed = self._one_hot or (self._native and not self._backbone.native_frozen)
        new = np.flatnonzero(~self._seen[numbers - 1])
        if guessed and len(new):
            row, symbol = int(rows[new[0]]), SYMBOLS[numbers[new[0]] - 1]
            warnings.warn(
                f"{crystals.where(row)}: {symbol} was in none of the crystals of fit, and the "
                f"model can only guess what it is like ({len(np.unique(rows[new]))} such rows); an "
                'embedding that knows it, such as "ct-uae-mt" or "magpie", would do better',
                stacklevel=5,
            )

    def _other_table(self, continued):
        """Say how to get a table that covers more elements."""
        if continued:
            return "set warm_start=False to start anew, with a table that covers it"
        if self.init_from is not None:
            return "start from a model with a table that covers it"
        learner = getattr(self.embedding, "estimator", self.embedding)  # of a FrozenEstimator
        if getattr(learner, "element_features", None) is not None:
            return f'set on_missing_element="mean" of the {type(learner).__name__} that learns it'
        if hasattr(learner, "fit"):
            return (
                "learn the table in a step before this one, UAETransformer(embedding=..., "
                'on_missing_element="mean"), which takes the mean of the others for it'
            )
        return (
            "use a table that covers it, the mean of the others for it (ElementTable.fill_missing, "
            'or UAETransformer(on_missing_element="mean") before this step)'
        )

    def _peak_lr(self):
        return self._backbone.default_lr if self.lr == "auto" else self.lr

    def _clip_norm(self):
        return self._backbone.clip_norm

    def _element_lr_ratio(self):
        return 1.0 if self._native else self.embedding_lr_ratio  # its own are weights like others

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
        if not (self._native or self._one_hot):
            return self._trained_table()
        # What the network has learned about an element lies behind its first layer, if the element
        # vectors are not its own.
        vectors = module.elements.weight
        if features or self._one_hot:
            with torch.no_grad():
                vectors = module.first_layer(vectors)
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
        names = ("native", "frozen", "one_hot", "origin")
        return {"table": card, **{name: getattr(self, f"_{name}") for name in names}}, arrays

    def _set_fitted(self, config, arrays):
        seen = np.flatnonzero(arrays["table.seen"]) + 1
        self._table = ElementTable(arrays["table.values"], symbols=seen, **config["table"])
        for name in ("native", "frozen", "one_hot", "origin"):
            setattr(self, f"_{name}", config[name])
        self._seen = arrays["seen"]
        names = ("module.elements.coords_weight", "module.elements.coords_bias")
        self._coords = tuple(torch.tensor(arrays[n]) for n in names) if names[0] in arrays else None
        self._backbone = resolve_backbone(self.backbone)
        if self.embedding is None and not self._native:
            self.embedding = self._table  # what it was could not be saved; a fit would need it


def _check_covered(table, crystals, way_out, among=None):
    """Raise if a table knows nothing of an element; name the first row with one."""
    rows, numbers, _ = crystals.composition()
    unknown = np.flatnonzero(~table.seen[numbers - 1])
    if among is not None:
        unknown = unknown[np.isin(rows[unknown], among)]
    if len(unknown):
        row, symbol = int(rows[unknown[0]]), SYMBOLS[numbers[unknown[0]] - 1]
        raise ValueError(
            f"{crystals.where(row)}: element table {table.name!r} has no vector for "
            f"{symbol} ({len(np.unique(rows[unknown]))} such rows); {way_out}, or drop the row"
        )


def _coords_of(front_end):
    """Return weight and bias of the map of coordinates of a fitted front-end, for Å."""
    front_end = getattr(front_end, "estimator", front_end)  # a FrozenEstimator
    module = getattr(getattr(front_end, "net_", None), "module_", None)
    if not hasattr(module, "coords"):
        raise ValueError(_NO_COORDS)
    weight, bias = module.coords.weight.detach().cpu(), module.coords.bias.detach().cpu()
    return weight / module.coords_scale, bias


def _digest(table):
    """Return a fingerprint of the values of a table; None for None."""
    if table is None:
        return None
    return hashlib.sha256(np.nan_to_num(table.values).tobytes() + table.seen.tobytes()).hexdigest()
