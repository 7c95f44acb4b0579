"""Graph networks on crystals behind fit and predict."""

import warnings

import numpy as np
import torch

from skuae import models
from skuae.crystals import PackedTensors
from skuae.embedding import ElementTable, get_table, resolve_table, table_names
from skuae.embedding._elements import SYMBOLS
from skuae.models import resolve_backbone
from skuae.training import BaseCrystalRegressor


class CrystalGNNRegressor(BaseCrystalRegressor):
    """Graph network regressor with an element table of your choice.

    Parameters
    ----------
    backbone : {"cgcnn"} or specification, default="cgcnn"
        The network, by name or as an object of `skuae.models` with its own parameters, e.g.
        ``models.CGCNN(n_conv=4, cutoff=6.0)``.
    embedding : str, path, ElementTable, DataFrame, estimator or None, default=None
        Where the element vectors come from: anything that `UAETransformer` takes. None takes the
        table that comes with X (behind a `UAETransformer` in a pipeline), else the atom features of
        the backbone's paper.
    freeze_embedding : bool, default=False
        Keep the element vectors as they are. Those of the paper are always kept.
    embedding_lr_ratio : float, default=0.1
        Learning rate of the element vectors relative to all else.
    max_epochs : int, default=100
    batch_size : int, default=64
        Crystals per step.
    lr : float, default=5e-3
        Peak learning rate.
    weight_decay : float, default=1e-4
        Not applied to biases, norms and element vectors.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
    lr_schedule : {"onecycle", "cosine", "constant"}, default="onecycle"
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        On standardised targets.
    early_stopping : bool, default=False
        Keep a random part of the rows for validation, stop when its loss stops falling, and go back
        to the best epoch.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=20
        Epochs without improvement before stopping.
    warm_start : bool, default=False
        Let `fit` go on from the weights of the last fit.
    init_from : estimator or path, optional
        Fitted estimator or saved directory whose weights, all but the head, training starts from.
    checkpoint_dir : path, optional
        Write checkpoints there, and resume a `fit` with the same data and parameters that was
        killed. Needs an int `random_state`.
    callbacks : list of skorch callbacks, optional
    device : str or torch.device, default="auto"
        "auto" takes CUDA, then Apple's MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds weights, validation split and the order of rows.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    element_table_ : ElementTable
        The element vectors after training (Method II of the paper): the table, tuned or as it was;
        with the atom features of the backbone's paper, what its first layer makes of them.
    net_ : skorch.NeuralNet
    history_ : list of dict
        Epoch, losses (on standardised targets) and seconds.
    n_iter_ : int
        Epochs trained.
    target_names_ : list of str or None
    device_ : torch.device

    References
    ----------
    .. [1] Xie and Grossman, PRL 120, 145301 (2018): CGCNN.
    .. [2] Jin et al., Nature Communications 16, 1210 (2025): tables for graph networks.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(embedding="magpie", max_epochs=2, random_state=0)
    >>> gnn.fit(toy.structures, toy.target).predict(toy.structures).shape
    (16,)
    """

    def __init__(
        self,
        backbone="cgcnn",
        *,
        embedding=None,
        freeze_embedding=False,
        embedding_lr_ratio=0.1,
        max_epochs=100,
        batch_size=64,
        lr=5e-3,
        weight_decay=1e-4,
        optimizer="adamw",
        lr_schedule="onecycle",
        loss="squared_error",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=20,
        warm_start=False,
        init_from=None,
        checkpoint_dir=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.embedding = embedding
        self.freeze_embedding = freeze_embedding
        self.embedding_lr_ratio = embedding_lr_ratio
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.loss = loss
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.init_from = init_from
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _prepare(self, crystals, table, y, sample_weight, source, train):
        backbone = resolve_backbone(self.backbone)
        native = False
        if source is not None:
            if backbone.get_params() != source._backbone.get_params():
                raise ValueError(
                    f"the model to start from has backbone {source._backbone}, "
                    f"this one {backbone}; use the same, or start anew"
                )
            self._check_table_of(source, table)
            self._table, native = source._trained_table(), source._native
        elif self.embedding is not None:
            if table is not None and table.name != _name_of(self.embedding):
                warnings.warn(
                    f"embedding=... is used, and not the table {table.name!r} that came with X",
                    stacklevel=3,
                )
            weight = None if sample_weight is None else sample_weight[train]
            self._table, _ = resolve_table(
                self.embedding, crystals[train], y[train], sample_weight=weight
            )
        elif table is not None:  # came with X
            self._table = table
        else:
            self._table, native = get_table(backbone.native_table), True
        self._backbone = backbone
        self._native = native
        self._frozen = bool(self.freeze_embedding or native)
        self._check_elements(crystals)

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
        graphs = self._backbone.graph_of(crystals)
        return PackedTensors(crystals, graphs, device=device, dtype=self._dtype)

    def _build(self, n_outputs):
        values = torch.tensor(np.nan_to_num(self._table.values))  # rows not covered are never read
        return self._backbone.build(values, self._frozen, n_outputs)

    def _check_known(self, crystals, rows, numbers):
        unknown = np.flatnonzero(~self._table.seen[numbers - 1])
        if len(unknown):
            row, symbol = int(rows[unknown[0]]), SYMBOLS[numbers[unknown[0]] - 1]
            raise ValueError(
                f"{crystals.where(row)}: element table {self._table.name!r} has no vector for "
                f"{symbol} ({len(np.unique(rows[unknown]))} such rows); use a table that covers "
                "it, the mean of the others for it (ElementTable.fill_missing, or "
                'UAETransformer(on_missing_element="mean") before this step), or drop the row'
            )

    def _make_table(self):
        if not self._native:
            return self._trained_table()
        # What the network has learned about an element lies behind its first layer.
        module = self.net_.module_
        with torch.no_grad():
            vectors = module.project(module.elements.weight).cpu().numpy()
        name = type(self._backbone).__name__.lower()
        return ElementTable(
            vectors[self._table.seen],
            symbols=self._table.symbols,
            name=f"{name}-learned",
            metadata={"description": f"first layer of a trained {name}", "input": self._table.name},
        )

    def _trained_table(self):
        """Return the vectors that the network looks up, as they are now."""
        name = self._table.name.removesuffix("-tuned")
        vectors = self.net_.module_.elements.weight.detach().cpu().numpy()
        return ElementTable(
            vectors[self._table.seen],
            symbols=self._table.symbols,
            name=name if self._frozen else f"{name}-tuned",
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
        return {"table": card, "native": self._native, "frozen": self._frozen}, arrays

    def _set_fitted(self, config, arrays):
        seen = np.flatnonzero(arrays["table.seen"]) + 1
        self._table = ElementTable(arrays["table.values"], symbols=seen, **config["table"])
        self._native, self._frozen = config["native"], config["frozen"]
        self._backbone = resolve_backbone(self.backbone)
        if self.embedding is None and not self._native:
            self.embedding = self._table  # what it was could not be saved; a fit would need it


def _name_of(embedding):
    """Return the name of a table, or None: of a path, frame or estimator there is no telling."""
    if isinstance(embedding, ElementTable):
        return embedding.name.removesuffix("-tuned")
    return embedding if isinstance(embedding, str) and embedding in table_names() else None
