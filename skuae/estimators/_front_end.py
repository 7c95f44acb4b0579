"""The front-end that learns element vectors from crystals and their properties."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch

from skuae._elements import SYMBOLS
from skuae.crystals import PackedTensors
from skuae.embedding import ElementTable
from skuae.estimators._element_features import N_ROWS, named, or_nothing, stack_features
from skuae.models._crystal_transformer import READOUTS, CrystalTransformerModule
from skuae.training import BaseCrystalRegressor
from skuae.training._data import CrystalDataset, CrystalLoader, augment
from skuae.training._sensitivity import scale_by, sensitivity

_ARCHITECTURE = ("d_model", "n_layers", "n_heads", "dim_feedforward", "readout", "input_norm")
_SENSITIVITY_ROWS = 8192  # crystals that gradients are averaged over: enough for a 128 x 128 matrix


class CrystalTransformerRegressor(BaseCrystalRegressor):
    """CrystalTransformer: a transformer on species and coordinates, without a graph.

    Its purpose is the element table that it learns on the way, ``element_table_``: universal atomic
    embeddings (ct-UAE) [1]_, Method I. Give it to `UAETransformer` or `CrystalGNNRegressor` as
    ``embedding=``. With several targets it learns one table from all of them (multi-task, MT@n).

    Parameters
    ----------
    d_model : int, default=256
        Width of the tokens; the element table has half as many columns.
    n_layers : int, default=3
        Encoder layers. The paper has 8.
    n_heads : int, default=8
    dim_feedforward : int, default=512
    dropout : float, default=0.1
    readout : {"mean", "cls", "first"}, default="mean"
        What the prediction is read from: the mean of the sites' tokens, an extra token, or the
        token of the first site as in the reference code, which depends on the order of sites.
    input_norm : bool, default=True
        Start element vectors small and normalise them, centre coordinates and scale them to 8 Å;
        without it (the published input) coordinates or the random start drown what is learned
        about elements.
    element_features : str, path, ElementTable, DataFrame, a sequence of these or None, \
            default=("magpie", "cgcnn")
        What is known of the elements: one or several tables. An element's vector is a linear map of
        its features, learned, plus a row of its own, so that elements that are alike share what
        their crystals teach, most where an element is rare. Columns count by their variance: give
        properties in raw units as ``table.standardize()``. Where a table lacks an element, the mean
        of the others stands in. None, as published: only rows of their own.
    table_scale : {"sensitivity", None}, default="sensitivity"
        How `element_table_` is read from the trained network. "sensitivity": the vectors turned and
        scaled so that a direction is as long as predictions depend on it (the root of the mean
        outer product of their gradients over training crystals). None, as published: the vectors
        as the network sees them.
    augment : bool, default=True
        Turn, mirror and shift every training crystal at random, anew in every epoch. Never applied
        to validation rows nor in `predict`.
    coord_noise : float, default=0.0
        Standard deviation in Å of noise on the coordinates, part of the augmentation.
    task_weights : sequence of float of length n_targets, optional
        Weights of the targets in the loss, which is their weighted sum; ones by default.
    on_missing_element : {"raise", "mean"}, default="raise"
        What to do about elements that `fit` has not seen: refuse them, or take the mean of the rows
        of those it has, beside what `element_features` say; `element_table_` then covers all
        elements that have features.
    max_epochs : int, default=20
    batch_size : int, default=128
        Crystals per step. Batches hold crystals of about equal size; those of very large crystals
        are smaller.
    lr : float, default=1e-3
        Peak learning rate.
    weight_decay : float, default=1e-4
        Not applied to vectors and the element table.
    embedding_lr_ratio : float, default=1.0
        Learning rate of the element table relative to the rest.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
    lr_schedule : {"onecycle", "cosine", "constant"}, default="onecycle"
    loss : {"squared_error", "absolute_error", "huber", "gaussian_nll"}, default="squared_error"
        On standardised targets. "gaussian_nll" learns a mean and a variance for every crystal, for
        ``predict(X, return_std=True)``.
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
        Any but those that score, set the learning rate or save at the end: there are parameters
        for these.
    device : str or torch.device, default="auto"
        "auto" takes CUDA, then Apple's MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds weights, validation split, order of rows and augmentation.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    element_table_ : ElementTable
        The learned vectors of the elements in the training rows; see `table_scale`.
    net_ : skorch.NeuralNet
    history_ : list of dict
        Epoch, losses (on standardised targets) and seconds.
    n_iter_ : int
        Epochs trained.
    target_names_ : list of str or None
    device_ : torch.device

    References
    ----------
    .. [1] Jin et al., Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from skuae import CrystalTransformerRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> front_end = CrystalTransformerRegressor(
    ...     d_model=32, n_layers=1, max_epochs=2, random_state=0)
    >>> front_end.fit(toy.structures, toy.target).element_table_.n_dims
    16
    """

    _by_size = True
    _relatives = ("CrystalTransformerRegressor",)

    def __init__(
        self,
        *,
        d_model=256,
        n_layers=3,
        n_heads=8,
        dim_feedforward=512,
        dropout=0.1,
        readout="mean",
        input_norm=True,
        element_features=("magpie", "cgcnn"),
        table_scale="sensitivity",
        augment=True,
        coord_noise=0.0,
        task_weights=None,
        on_missing_element="raise",
        max_epochs=20,
        batch_size=128,
        lr=1e-3,
        weight_decay=1e-4,
        embedding_lr_ratio=1.0,
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
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.readout = readout
        self.input_norm = input_norm
        self.element_features = element_features
        self.table_scale = table_scale
        self.augment = augment
        self.coord_noise = coord_noise
        self.task_weights = task_weights
        self.on_missing_element = on_missing_element
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.embedding_lr_ratio = embedding_lr_ratio
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

    def embed(self, X):
        """Return the vectors of crystals that the predictions are read from.

        Parameters
        ----------
        X : array-like of structures of shape (n_samples,)

        Returns
        -------
        ndarray of shape (n_samples, d_model), float32
            What `readout` names: the mean of the sites' tokens, or one token.
        """
        return self._outputs(X, "embed")

    @property
    def _transform(self):
        return partial(augment, coord_noise=self.coord_noise) if self.augment else None

    def _prepare(self, crystals, table, y, sample_weight, source, train, valid):
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be one of {', '.join(READOUTS)}; got {self.readout!r}")
        if self.table_scale not in ("sensitivity", None):
            raise ValueError(f'table_scale must be "sensitivity" or None; got {self.table_scale!r}')
        if self.on_missing_element not in ("raise", "mean"):
            raise ValueError(
                f'on_missing_element must be "raise" or "mean"; got {self.on_missing_element!r}'
            )
        for name in ("d_model", "n_layers", "n_heads", "dim_feedforward"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer, at least 1; got {value!r}")
        if not isinstance(self.dropout, Real) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {self.dropout!r}")
        if not isinstance(self.coord_noise, Real) or not 0 <= self.coord_noise < np.inf:
            raise ValueError(
                f"coord_noise must be a number of Å, at least 0; got {self.coord_noise!r}"
            )
        if self.d_model % 2 or self.d_model % self.n_heads:
            raise ValueError(
                f"d_model must be even and a multiple of n_heads={self.n_heads}; got {self.d_model}"
            )
        if self.task_weights is not None:
            try:
                weights = np.asarray(self.task_weights, dtype=float)
            except (TypeError, ValueError):  # a dict, or a text, say
                weights = np.empty(())
            if weights.shape != y.shape[1:]:
                raise ValueError(
                    f"task_weights must be a sequence of {y.shape[1]} numbers, one for each "
                    f"target; got {self.task_weights!r}"
                )
            if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
                raise ValueError(
                    "task_weights must be finite, not negative, and not all 0; got "
                    f"{self.task_weights!r}"
                )
        rows, numbers, _ = crystals.composition()
        beyond = np.flatnonzero(numbers > N_ROWS)
        if len(beyond):
            row, symbol = int(rows[beyond[0]]), SYMBOLS[numbers[beyond[0]] - 1]
            raise ValueError(
                f"{crystals.where(row)}: CrystalTransformer knows the elements up to Z={N_ROWS}, "
                f"the structure has {symbol}; drop the row"
            )
        features, has_features = stack_features(self.element_features)
        if source is not None:
            built = source._fit_params
            changed = [k for k in _ARCHITECTURE if getattr(self, k) != built[k]]
            if changed:
                raise ValueError(
                    f"the model to start from has another architecture: {changed[0]} is "
                    f"{built[changed[0]]!r}, here {getattr(self, changed[0])!r}; use the same, or "
                    "start anew"
                )
            if not np.array_equal(or_nothing(features), or_nothing(source._features)):
                raise ValueError(
                    "the model to start from has other element_features; use the same, or start "
                    "anew"
                )
        seen = np.zeros(N_ROWS, dtype=bool) if source is None else source._seen.copy()
        seen[numbers[np.isin(rows, train)] - 1] = True
        self._seen, self._features, self._has_features = seen, features, has_features
        self._feature_tables = named(self.element_features)

    def _pack(self, crystals, device):
        return PackedTensors(crystals, device=device, dtype=self._dtype)

    def _build(self, n_outputs):
        return CrystalTransformerModule(
            n_outputs,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            dim_feedforward=self.dim_feedforward,
            dropout=self.dropout,
            readout=self.readout,
            input_norm=self.input_norm,
            features=None if self._features is None else torch.tensor(self._features),
        )

    def _train(self, crystals, targets, sample_weight, train, valid, seed, source):
        super()._train(crystals, targets, sample_weight, train, valid, seed, source)
        net = self.__dict__.pop("net_")  # back when the table can be read, too
        # Rows of elements that no training row has are as they were drawn; the mean of the others
        # (beside their features) is the best guess there is, and what "mean" stands for.
        weight = net.module_.elements.linear.weight
        unseen = torch.as_tensor(~self._seen, device=weight.device)
        with torch.no_grad():
            weight[:, unseen] = weight[:, ~unseen].mean(dim=1, keepdim=True)
        self._sensitivity = None
        if self.table_scale is not None:
            some = np.random.default_rng(seed).permutation(train)[:_SENSITIVITY_ROWS]
            dataset = CrystalDataset(self._pack(crystals[some], self.device_), np.arange(len(some)))
            loader = CrystalLoader(dataset, self.batch_size, shuffle=False, by_size=True)
            weights = self.task_weights
            if weights is None:
                weights = [1.0] * len(self.scaler_.mean_)
            self._sensitivity = sensitivity(net, loader, weights)
        self.net_ = net

    def _check_known(self, crystals, rows, numbers):
        unseen = np.flatnonzero(~np.append(self._seen, np.zeros(18, dtype=bool))[numbers - 1])
        if not len(unseen):
            return
        row, number = int(rows[unseen[0]]), int(numbers[unseen[0]])
        if self.on_missing_element == "raise" or number > N_ROWS:
            if number > N_ROWS:
                raise ValueError(
                    f"{crystals.where(row)}: CrystalTransformer knows the elements up to "
                    f"Z={N_ROWS}, the structure has {SYMBOLS[number - 1]}; drop the row"
                )
            raise ValueError(
                f"{crystals.where(row)}: {SYMBOLS[number - 1]} was in none of the crystals that "
                f"the model was fitted on ({len(np.unique(rows[unseen]))} such rows); fit on "
                'crystals that contain it, drop the row, or set on_missing_element="mean"'
            )

    def _make_table(self):
        covered = self._seen
        if self.on_missing_element == "mean" and self._features is not None:
            covered = covered | self._has_features
        with torch.no_grad():
            vectors = self.net_.module_.elements.table().cpu().numpy()[covered]
        if self._sensitivity is not None:
            vectors = scale_by(vectors, self._sensitivity)
        return ElementTable(
            vectors,
            symbols=np.flatnonzero(covered) + 1,
            name="ct-uae",
            metadata={
                "description": "universal atomic embeddings learned by CrystalTransformerRegressor",
                "targets": self.target_names_,
            },
        )

    def _get_fitted(self):
        fitted, arrays = {}, {"seen": self._seen}
        if self._features is not None:
            arrays |= {"features": self._features, "has_features": self._has_features}
        if not all(isinstance(table, str) for table in self._feature_tables):
            # a table of the user's own is no parameter that JSON holds
            fitted["element_features"] = [
                table if isinstance(table, str) else {"name": table.name, "symbols": table.symbols}
                for table in self._feature_tables
            ]
            arrays |= {
                f"element_features.{i}": table.values[table.seen]
                for i, table in enumerate(self._feature_tables)
                if not isinstance(table, str)
            }
        if self._sensitivity is not None:
            arrays["sensitivity"] = self._sensitivity
        return fitted, arrays

    def _set_fitted(self, config, arrays):
        self._seen = arrays["seen"]
        self._features = arrays.get("features")
        self._has_features = arrays.get("has_features")
        self._sensitivity = arrays.get("sensitivity")
        if "element_features" in config:
            self.element_features = [
                table
                if isinstance(table, str)
                else ElementTable(
                    arrays[f"element_features.{i}"], table["symbols"], name=table["name"]
                )
                for i, table in enumerate(config["element_features"])
            ]
        self._feature_tables = named(self.element_features)
