"""Regression with graph networks on crystals."""

from typing import Any

import numpy as np

from skuae.embedding import ElementTable
from skuae.estimators._graph_network import RELATIVES, graph_network, load_table
from skuae.estimators._regression import CrystalRegressor
from skuae.training import ElementInput, FitData, Network


class CrystalGNNRegressor(CrystalRegressor):
    """Graph network regressor with an element table of your choice.

    Parameters
    ----------
    backbone : str or Backbone, default="cgcnn"
        The kind of network: a name (see `skuae.models.BACKBONES`), or an object with parameters of
        its own, e.g. ``models.CGCNN(n_conv=4, cutoff=6.0)``.
    embedding : str, path, ElementTable, DataFrame, estimator or None, default=None
        The element table: anything that `UAETransformer` takes. A clone of an estimator learns the
        table from X and y. None uses the table that comes with X (behind a `UAETransformer` in a
        pipeline), otherwise the input of the back-end's paper: features of atoms, or vectors that
        are trained (MEGNet).
    freeze_embedding : bool, default=False
        Do not train the element table. The atom features of a paper are never trained.
    coords : bool, default=False
        Join each site's element vector with the coordinate vector of the front-end in `embedding`
        (chem+coords in the paper). This is a control: predictions then depend on the choice of the
        cell, and the paper found them worse.
    embedding_lr_ratio : float, default=0.1
        Learning rate of the element table relative to the rest; 1 for random vectors of a back-end.
    max_epochs : int, default=100
    batch_size : int, default=64
        Crystals per step.
    lr : float or "auto", default="auto"
        Peak learning rate; "auto" is the `default_lr` of the back-end, e.g. 5e-3 for CGCNN and
        MEGNet and 3e-3 for ALIGNN.
    weight_decay : float, default=1e-4
        Not applied to biases, norms and the element table.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
    lr_schedule : {"onecycle", "cosine", "constant"}, default="onecycle"
    loss : str, default="squared_error"
        Of standardised targets: "squared_error", "absolute_error", "huber", or one that learns a
        standard deviation for every crystal too, for ``predict(X, return_std=True)``:
        "gaussian_nll", the likelihood of normally distributed errors, or "laplace_nll", that of
        Laplace's distribution. With the latter, predictions are medians rather than means, and
        single large errors of labels count less.
    log_targets : {"all"}, list of int or str, or None, default=None
        Targets whose common logarithm is learned, by number or name. Use it for positive targets
        that span orders of magnitude, such as elastic moduli. Predictions are in the units of y;
        losses, `epochs_tried_` and attributions refer to the logarithm.
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
        Fitted estimator or saved folder, also of a `CrystalGNNClassifier`. Training starts from all
        of its weights but the head; targets are scaled anew. A fitted model keeps its source, but
        not the source of that one.
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
    precision : {"float32", "bf16", "auto"}, default="float32"
        Precision of the vectors of edges and angles. "bf16" halves their memory; it is meant for
        CPUs and GPUs that multiply bfloat16. Weights, norms, sums and losses stay float32. "auto"
        takes bf16 if the device multiplies it, the back-end supports it (`ALIGNN`, `CoGN`,
        `GatedGCN`, `MEGNet`) and batches have more than 20,000 edges and angles.
    random_state : int, RandomState instance or None, default=None
        Seeds weights, validation split, order of rows and augmentation.
    verbose : int, default=0
        1 shows progress bars of training and of building graphs, also in `predict`.

    Attributes
    ----------
    element_table_ : ElementTable
        The element table after training (Method II of the paper): the given table, tuned or frozen;
        for atom features and one-hot rows, the output of the first layer; for random vectors of a
        back-end, those of the elements in the training rows.
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

    Notes
    -----
    With ``loss="gaussian_nll"`` or ``"laplace_nll"``, the head has two outputs per target,
    prediction and variance, trained with the beta likelihood [3]_. This takes one training. The
    variance is not reliable for crystals unlike the training set; the spread of an ensemble is, in
    part: see `CrystalVotingRegressor`.

    References
    ----------
    .. [1] Xie and Grossman, PRL 120, 145301 (2018): CGCNN.
    .. [2] Jin et al., Nature Communications 16, 1210 (2025): tables for graph networks.
    .. [3] Seitzer et al., ICLR 2022: On the pitfalls of heteroscedastic uncertainty estimation with
       probabilistic neural networks.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor(embedding="magpie", max_epochs=2, random_state=0)
    >>> gnn.fit(toy.structures, toy.target).predict(toy.structures).shape
    (16,)
    """

    _relatives = RELATIVES

    def __init__(
        self,
        backbone="cgcnn",
        *,
        embedding=None,
        freeze_embedding=False,
        coords=False,
        embedding_lr_ratio=0.1,
        max_epochs=100,
        batch_size=64,
        lr="auto",
        weight_decay=1e-4,
        optimizer="adamw",
        lr_schedule="onecycle",
        loss="squared_error",
        log_targets=None,
        early_stopping=False,
        validation_fraction=0.2,
        refit=True,
        warm_start=False,
        init_from=None,
        checkpoint_dir=None,
        callbacks=None,
        device="auto",
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.embedding = embedding
        self.freeze_embedding = freeze_embedding
        self.coords = coords
        self.embedding_lr_ratio = embedding_lr_ratio
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.loss = loss
        self.log_targets = log_targets
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.warm_start = warm_start
        self.init_from = init_from
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _network(self, data: FitData, table: ElementTable | None, source: Any) -> Network:
        return graph_network(self, data, table, source)

    def _load_elements(self, config: dict, arrays: dict[str, np.ndarray]) -> ElementInput:
        return load_table(self, config, arrays)
