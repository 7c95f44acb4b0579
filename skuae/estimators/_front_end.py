"""The front-end that learns element vectors from crystals and their properties."""

from dataclasses import replace
from typing import Any

import numpy as np

from skuae.embedding import ElementTable, table_names
from skuae.estimators._regression import CrystalRegressor
from skuae.models import Backbone, CrystalTransformer, resolve_backbone
from skuae.training import (
    ElementInput,
    FitData,
    LearnedInput,
    Network,
    check_in_reach,
    named,
    seen_elements,
)

_ARCHITECTURE = ("d_model", "n_layers", "n_heads", "dim_feedforward", "readout", "input_norm")


class CrystalTransformerRegressor(CrystalRegressor):
    """CrystalTransformer: a transformer on species and coordinates, without a graph.

    Its purpose is the element table that it learns, ``element_table_``: universal atomic embeddings
    (ct-UAE) [1]_, Method I. Pass the estimator to `UAETransformer` or `CrystalGNNRegressor` as
    ``embedding=``. It learns one table from all targets (multi-task, MT@n).

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
        Input of the head: the mean of the sites' tokens, an extra token, or the token of the first
        site. The last is that of the reference code and depends on the order of the sites.
    input_norm : bool, default=True
        Start with small element vectors and normalise them, centre coordinates and scale them to
        8 Å. If False (as published), raw coordinates and the random initialisation mask what is
        learned about elements.
    element_features : str, path, ElementTable, DataFrame, a sequence of these or None, \
            default=("magpie", "cgcnn")
        Known properties of the elements: one or several tables. The vector of an element is a
        learned linear map of its properties plus a row of its own, so that similar elements learn
        from one another; rare elements gain most. Columns count by their variance: standardise
        properties in raw units (``table.standardize()``). Missing elements get the mean of the
        others. None, as published, uses rows only.
    table_scale : {"sensitivity", None}, default="sensitivity"
        How `element_table_` is made from the vectors of the network. "sensitivity" rotates and
        scales them so that directions that change predictions more are longer (by the root of the
        mean outer product of the gradients of the predictions over training crystals). None, as
        published, keeps them.
    augment : bool, default=True
        Rotate, mirror and shift every training crystal at random in every epoch. Validation rows
        and `predict` are not augmented.
    coord_noise : float, default=0.0
        Standard deviation in Å of noise on the coordinates, part of the augmentation.
    task_weights : sequence of float of length n_targets, optional
        Weights of the targets in the loss, which is their weighted sum; ones by default.
    on_missing_element : {"raise", "mean"}, default="raise"
        What to do about elements that `fit` has not seen: refuse them, or use the mean of the rows
        of known elements plus the map of `element_features`. With "mean", `element_table_` covers
        all elements that have features.
    max_epochs : int, default=20
    batch_size : int, default=128
        Crystals per step. Batches hold crystals of about equal size; those of very large crystals
        are smaller.
    lr : float, default=1e-3
        Peak learning rate.
    weight_decay : float, default=1e-4
        Not applied to biases, norms and the element table.
    embedding_lr_ratio : float, default=1.0
        Learning rate of the element table relative to the rest.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
    lr_schedule : {"onecycle", "cosine", "constant"}, default="onecycle"
    loss : str, default="squared_error"
        Of standardised targets: "squared_error", "absolute_error", "huber", or one that learns a
        standard deviation for every crystal too, for ``predict(X, return_std=True)``:
        "gaussian_nll", the likelihood of normally distributed errors, or "laplace_nll", that of
        Laplace's distribution. With the latter, predictions are medians rather than means, and
        single large errors of labels count less.
    early_stopping : bool, default=False
        Search for the best number of epochs. A random part of the rows is held back. The network is
        trained for a sixteenth of `max_epochs`, then anew for an eighth, a quarter, a half and all
        of them, while the mean absolute error of the rows held back falls, or with a loss that
        learns standard deviations, while their likelihood rises; see `epochs_tried_`. This takes
        up to three times as long as `max_epochs`.
    validation_fraction : float, default=0.2
        Part of the rows that `early_stopping` holds back.
    refit : bool, default=True
        With `early_stopping`, finally train on all rows for the best number of epochs. False saves
        that time and keeps the best network, which has not seen the rows held back.
    warm_start : bool, default=False
        Let `fit` continue from the weights of the last fit, for `max_epochs`. `early_stopping` has
        no effect then, since these weights have seen all rows.
    init_from : estimator or path, optional
        Fitted estimator or saved folder. Training starts from all of its weights but the head.
        A fitted model keeps its source, but not the source of that one.
    checkpoint_dir : path, optional
        Write checkpoints there, and resume a killed `fit` with the same data and parameters. Needs
        an int `random_state`.
    callbacks : list of skorch callbacks, optional
        With `early_stopping`, they see every training. Scoring, scheduler and final-checkpoint
        callbacks are refused; use `early_stopping`, `lr_schedule` or `save_pretrained`. A callback
        that raises KeyboardInterrupt ends the training; the model is kept, with a warning.
    device : str or torch.device, default="auto"
        "auto" uses CUDA if there is any, then Apple's MPS, then the CPU. Processes that torchrun
        started share one fit; each takes a GPU of its own, or the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds weights, validation split, order of rows and augmentation.
    verbose : int, default=0
        1 shows progress bars of training and of building graphs, also in `predict`.

    Attributes
    ----------
    element_table_ : ElementTable
        The learned vectors of the elements in the training rows; see `table_scale`.
    task_ : FittedTask
        Scaling or classes of the targets.
    network_ : Network
        Back-end and element input.
    net_ : skorch.NeuralNet
        The trained network is its ``module_``.
    history_ : list of dict
        Number, loss and seconds of every epoch. Losses of regressors are on standardised targets.
    n_iter_ : int
        Epochs trained.
    epochs_tried_ : list of dict
        With `early_stopping`, ``"epochs"`` and ``"error"`` of each training in the search: the mean
        absolute error of the rows held back, in units of y, or for several targets in standard
        deviations; with a loss that learns standard deviations, the negative log-likelihood.
    target_names_ : list of str or None
        The column names of y, or its name.
    target_units_ : list of str or None
        Their units, if the model was read from a folder that has them.
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
        validation_fraction=0.2,
        refit=True,
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
        self.refit = refit
        self.warm_start = warm_start
        self.init_from = init_from
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def embed(self, X: Any) -> np.ndarray:
        """Return the vectors of crystals that the head of the network reads.

        Parameters
        ----------
        X : array-like of structures of shape (n_samples,)

        Returns
        -------
        ndarray of shape (n_samples, d_model), float32
            The mean of the sites' tokens or one token, see `readout`.
        """
        return self._outputs(X, "embed")

    def _network(self, data: FitData, table: ElementTable | None, source: Any) -> Network:
        backbone = self._backbone()
        self._check_table_params()
        check_in_reach(data.crystals)
        elements = LearnedInput(
            seen_elements(data.crystals, data.train),
            named(self.element_features),
            guess=self.on_missing_element == "mean",
            scaled=self.table_scale is not None,
            targets=data.targets.names,
        )
        if source is not None:
            built = source.network_
            _check_same(backbone, built.backbone)
            _check_same_features(elements, built.elements)
            elements = replace(elements, seen=elements.seen | built.elements.seen)
        return Network(backbone, elements, self._dtype)

    def _load_elements(self, config: dict, arrays: dict[str, np.ndarray]) -> ElementInput:
        self._backbone()
        self._check_table_params()
        given = self.element_features
        for table in given if isinstance(given, (list, tuple)) else [given]:
            if table not in (None, *table_names()):
                raise ValueError(f"'element_features' names {table!r:.80}, which is no known table")
        elements = LearnedInput.from_state(config, arrays, self.target_names_)
        if not all(isinstance(table, str) for table in elements.tables):
            self.element_features = elements.tables  # the user's own are no JSON
        return elements

    def _check_table_params(self) -> None:
        if self.table_scale not in ("sensitivity", None):
            raise ValueError(f'table_scale must be "sensitivity" or None; got {self.table_scale!r}')
        if self.on_missing_element not in ("raise", "mean"):
            raise ValueError(
                f'on_missing_element must be "raise" or "mean"; got {self.on_missing_element!r}'
            )

    def _backbone(self) -> Backbone:
        names = CrystalTransformer().get_params()
        return resolve_backbone(CrystalTransformer(**{k: getattr(self, k) for k in names}))


def _check_same(backbone: Backbone, built: Backbone) -> None:
    """Raise if a network differs from the network to start from."""
    for name in _ARCHITECTURE:
        one, other = getattr(backbone, name), getattr(built, name)
        if one != other:
            raise ValueError(
                f"the model to start from has another architecture: {name} is {other!r}, here "
                f"{one!r}; use the same, or start anew"
            )


def _check_same_features(elements: LearnedInput, built: LearnedInput) -> None:
    one, other = (np.empty(0) if e.features is None else e.features for e in (elements, built))
    if not np.array_equal(one, other):
        raise ValueError(
            "the model to start from has other element_features; use the same, or start anew"
        )
