"""Classification with graph networks on crystals."""

from typing import Any

import numpy as np

from skuae.embedding import ElementTable
from skuae.estimators._classification import CrystalClassifier
from skuae.estimators._graph_network import RELATIVES, graph_network, load_table
from skuae.training import ElementInput, FitData, Network


class CrystalGNNClassifier(CrystalClassifier):
    """Graph network classifier with an element table of your choice.

    It learns two or more classes by minimising the log-loss. Labels are strings, numbers or
    booleans.

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
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, by label; "balanced" means inversely proportional to
        the number of rows.
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
    early_stopping : bool, default=True
        Search for the best number of epochs. Without it, probabilities become overconfident and
        labels are predicted less well. A random part of the rows of each class is held back. The
        network is trained for a sixteenth of `max_epochs`, then anew for an eighth, a quarter, a
        half and all of them, while the log-loss of the rows held back falls; see `epochs_tried_`.
        This takes up to three times as long as `max_epochs`.
    validation_fraction : float, default=0.2
        Part of the rows that `early_stopping` holds back.
    refit : bool, default=True
        With `early_stopping`, finally train on all rows for the best number of epochs. False saves
        that time and keeps the best network, which has not seen the rows held back.
    warm_start : bool, default=False
        Let `fit` continue from the weights of the last fit, for `max_epochs`. `early_stopping` has
        no effect then, since these weights have seen all rows.
    init_from : estimator or path, optional
        Fitted estimator or saved folder, also of a `CrystalGNNRegressor`. Training starts from all
        of its weights but the head. A fitted model keeps its source, but not the source of that
        one.
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
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
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
        With `early_stopping`, ``"epochs"`` and ``"error"`` of each training in the search: the
        log-loss of the rows held back.
    target_names_ : list of str or None
        The column names of y, or its name.
    target_units_ : list of str or None
        Their units, if the model was read from a folder that has them.
    device_ : torch.device

    References
    ----------
    .. [1] Xie and Grossman, PRL 120, 145301 (2018): CGCNN.
    .. [2] Jin et al., Nature Communications 16, 1210 (2025): tables for graph networks.

    Examples
    --------
    >>> from skuae import CrystalGNNClassifier
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, target="prototype", random_state=0)
    >>> gnn = CrystalGNNClassifier(embedding="magpie", max_epochs=2, random_state=0)
    >>> gnn.fit(toy.structures, toy.target).predict_proba(toy.structures).shape
    (16, 3)
    >>> gnn.classes_
    array(['cscl', 'rocksalt', 'zincblende'], dtype=object)
    """

    _relatives = RELATIVES

    def __init__(
        self,
        backbone="cgcnn",
        *,
        embedding=None,
        freeze_embedding=False,
        class_weight=None,
        coords=False,
        embedding_lr_ratio=0.1,
        max_epochs=100,
        batch_size=64,
        lr="auto",
        weight_decay=1e-4,
        optimizer="adamw",
        lr_schedule="onecycle",
        early_stopping=True,
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
        self.class_weight = class_weight
        self.coords = coords
        self.embedding_lr_ratio = embedding_lr_ratio
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
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
