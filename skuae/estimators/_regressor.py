"""Regression with graph networks on crystals."""

from typing import Any

import numpy as np

from skuae.embedding import ElementTable
from skuae.estimators._graph_network import RELATIVES, graph_network, load_graph_network
from skuae.estimators._regression import CrystalRegressor
from skuae.training import FitData, Network


class CrystalGNNRegressor(CrystalRegressor):
    """Graph network regressor with an element table of your choice.

    Parameters
    ----------
    backbone : {"cgcnn", "megnet", "alignn"} or specification, default="cgcnn"
        The network, by name or as an object of `skuae.models` with its own parameters, e.g.
        ``models.CGCNN(n_conv=4, cutoff=6.0)``.
    embedding : str, path, ElementTable, DataFrame, estimator or None, default=None
        Where the element vectors come from: anything that `UAETransformer` takes; if that is an
        estimator, a clone of it learns them from X and y. None takes the table that comes with X
        (behind a `UAETransformer` in a pipeline), else what the backbone's paper has: atom features
        (CGCNN, ALIGNN), or vectors that are learned (MEGNet).
    freeze_embedding : bool, default=False
        Keep the element vectors as they are. Atom features of a paper are always kept.
    coords : bool, default=False
        Give every site, beside its element vector, what the front-end in `embedding` makes of its
        Cartesian coordinates (chem+coords in the paper). A control: predictions then depend on how
        the cell is written, and the paper found them worse.
    embedding_lr_ratio : float, default=0.1
        Learning rate of the element vectors relative to all else; 1 for those that MEGNet draws
        itself.
    max_epochs : int, default=100
    batch_size : int, default=64
        Crystals per step.
    lr : float or "auto", default="auto"
        Peak learning rate; "auto" takes what suits the backbone: 5e-3 for CGCNN and MEGNet, 3e-3
        for ALIGNN.
    weight_decay : float, default=1e-4
        Not applied to biases, norms and element vectors.
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
        Fitted estimator or saved directory, of a `CrystalGNNClassifier` too, whose weights, all but
        the head, training starts from. Targets are scaled anew.
    checkpoint_dir : path, optional
        Write checkpoints there, and resume a `fit` with the same data and parameters that was
        killed. Needs an int `random_state`.
    callbacks : list of skorch callbacks, optional
        Any but those that score, set the learning rate or save at the end: there are parameters
        for these.
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
        with the atom features of the backbone's paper, what its first layer makes of them; with
        vectors that the backbone drew itself, those of the elements in the training rows.
    net_ : skorch.NeuralNet
    history_ : list of dict
        Epoch, losses (on standardised targets) and seconds.
    n_iter_ : int
        Epochs trained.
    target_names_ : list of str or None
    device_ : torch.device

    Notes
    -----
    With ``loss="gaussian_nll"``, a head of two outputs per target gives mean and variance, trained
    with the likelihood in its beta form [3]_. That costs one training, and works in grid searches
    and saved models like all else. An ensemble, which needs several trainings, also sees what its
    members disagree about; it is one line of scikit-learn, over a one-column frame:
    ``BaggingRegressor(CrystalGNNRegressor(), n_estimators=5, bootstrap=False)``, whose members
    differ by their seeds.

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
        self.coords = coords
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

    def _network(self, data: FitData, table: ElementTable | None, source: Any) -> Network:
        return graph_network(self, data, table, source)

    def _load_network(self, config: dict, arrays: dict[str, np.ndarray]) -> Network:
        return load_graph_network(self, config, arrays)
