"""What all crystal estimators share: from checked rows to a trained net and back."""

import warnings
from os import PathLike

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skuae.embedding import crystals_and_table
from skuae.training._checkpoint import Checkpoint
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._net import CrystalNet, MaskedLoss, Progress, StopEarly, seed_generators
from skuae.training._params import check_training_params, resolve_device
from skuae.training._persistence import PretrainedMixin, encode_params
from skuae.training._targets import TargetScaler, check_sample_weight, check_targets, loss_weights


class BaseCrystalRegressor(PretrainedMixin, RegressorMixin, BaseEstimator):
    """Fit and predict for regressors of crystals; subclasses bring table and module.

    A subclass stores its parameters in ``__init__`` and implements ``_prepare`` (parameters that
    decide about the data), ``_pack`` (crystals to tensors), ``_build`` (the module),
    ``_check_known`` (elements), ``_make_table`` (the element table of the trained module), and
    ``_get_fitted`` and ``_set_fitted`` for saving.
    """

    _dtype = torch.float32
    _by_size = False  # put crystals of equal size together in a batch
    _transform = None  # augmentation of training batches
    task_weights = None

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; NaN where unknown.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a row is not a structure.
        ValueError
            If a structure, a target or a parameter makes no sense; the message names it.
        """
        source = self._source()
        continued = source is self
        if not continued:
            self.__dict__.pop("net_", None)  # should this fit fail, no half of it predicts
        check_training_params(self)
        device = resolve_device(self.device)
        crystals, table = crystals_and_table(X)
        y, target_names, one_target = check_targets(y, crystals)
        sample_weight = check_sample_weight(sample_weight, crystals)
        if continued and y.shape[1] != len(self.scaler_.mean_):
            raise ValueError(
                f"y has {y.shape[1]} targets, the fit before had {len(self.scaler_.mean_)}; "
                "set warm_start=False to start anew"
            )
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        train, valid = self._split(y, target_names, sample_weight, seed)
        self._prepare(crystals, table, y, sample_weight, source, train)
        if not continued:
            weight = None if sample_weight is None else sample_weight[train]
            self.scaler_ = TargetScaler().fit(y[train], weight)
        self.device_ = device
        self._train(crystals, y, sample_weight, train, valid, seed, source)
        self.target_names_, self._one_target = target_names, one_target
        self._fit_params = encode_params(self)
        return self

    def predict(self, X):
        """Predict the targets of crystals.

        Parameters
        ----------
        X : list, Series, DataFrame with one column, Crystals or StructureFeatures
            Structures; see :func:`skuae.as_crystals`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the units of the y of ``fit``.
        """
        check_is_fitted(self)
        crystals, _ = crystals_and_table(X)
        self._check_elements(crystals)
        packed = self._pack(crystals, self.device_)
        dataset = CrystalDataset(packed, np.arange(len(crystals)))
        loader = CrystalLoader(dataset, self.batch_size, shuffle=False, by_size=self._by_size)
        y = self.scaler_.inverse_transform(self.net_.outputs(loader))
        return y[:, 0] if self._one_target else y

    def score(self, X, y, sample_weight=None):
        """Return R², over the known targets only and averaged over columns.

        Parameters
        ----------
        X : array-like of structures of shape (n_samples,)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            NaN where unknown.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        score : float
        """
        crystals, _ = crystals_and_table(X)
        y, *_ = check_targets(y, crystals, need_all=False)
        predicted = self.predict(crystals).reshape(len(y), -1)
        if predicted.shape != y.shape:
            raise ValueError(f"y has {y.shape[1]} targets, the model {predicted.shape[1]}")
        weight = check_sample_weight(sample_weight, crystals)
        weight = np.ones(len(y)) if weight is None else weight
        scores = [
            r2_score(column[k], predicted[k, j], sample_weight=weight[k])
            for j, column in enumerate(y.T)
            for k in [~np.isnan(column)]
            if k.any()
        ]
        return float(np.mean(scores))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.target_tags.multi_output = True
        return tags

    def __sklearn_clone__(self):
        # scikit-learn clones parameters too, and a clone of a fitted model is not fitted.
        return super().__sklearn_clone__().set_params(init_from=self.init_from)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")  # a failed fit leaves none

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "net_"):  # unpickled, it may have moved to a device that is here
            self.device_ = next(self.net_.module_.parameters()).device

    @property
    def element_table_(self):
        """The element vectors as they are after fit, an `ElementTable`."""
        check_is_fitted(self)
        return self._make_table()

    # -- the steps of fit -------------------------------------------------------------------------

    def _split(self, y, target_names, sample_weight, seed):
        """Return the rows to train on and the rows to stop by (none without early stopping).

        Rows that teach nothing, without a known target or with weight zero, are in neither.
        """
        known = ~np.isnan(y)
        if sample_weight is not None:
            known &= sample_weight[:, None] > 0
        rows = np.flatnonzero(known.any(axis=1))
        n = len(rows)
        if n < 2:
            what = "sample" if len(y) < 2 else "rows with a known target and a weight"
            raise ValueError(f"{n} {what}: at least 2 are needed to fit a model")
        if not self.early_stopping:
            return rows, np.arange(0)
        n_valid = max(1, round(self.validation_fraction * n))
        if n - n_valid < 2:
            raise ValueError(
                f"{n} samples leave fewer than 2 to train on with early_stopping=True and "
                f"validation_fraction={self.validation_fraction}; set early_stopping=False"
            )
        order = rows[np.random.default_rng(seed).permutation(n)]
        train, valid = np.sort(order[n_valid:]), np.sort(order[:n_valid])
        missing = ~known[train].any(axis=0) | ~known[valid].any(axis=0)
        if missing.any():
            column = int(np.flatnonzero(missing)[0])
            raise ValueError(
                f"target {target_names[column] if target_names else column} is known in "
                f"{int(known[:, column].sum())} rows, too few to be both learned and validated: "
                "set early_stopping=False or a larger validation_fraction"
            )
        return train, valid

    def _source(self):
        """Return the fitted estimator that training starts from (with warm_start, self) or None."""
        if self.warm_start and hasattr(self, "net_"):
            return self
        if self.init_from is None:
            return None
        if isinstance(self.init_from, (str, PathLike)):
            return type(self).from_pretrained(self.init_from, device="cpu")
        source = self.init_from
        if isinstance(source, FrozenEstimator):  # as needed in the grid of a search
            source = source.estimator
        if not (isinstance(source, type(self)) or isinstance(self, type(source))):
            raise TypeError(
                f"init_from must be a fitted {type(self).__name__} or the folder of a saved one; "
                f"got {type(source).__name__}"
            )
        check_is_fitted(source)
        return source

    def _train(self, crystals, y, sample_weight, train, valid, seed, source):
        devices = [self.device_] if self.device_.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            seed_generators(seed, self.device_)
            module = self._build(y.shape[1]).to(self._dtype)
            if source is not None:
                _copy_weights(source.net_.module_, module, with_head=source is self)
            packed = self._pack(crystals, self.device_)
            targets = self.scaler_.transform(y)
            targets = torch.tensor(targets, dtype=self._dtype, device=self.device_)
            weights = loss_weights(y, sample_weight, train)
            if weights is not None:
                weights = torch.tensor(weights, dtype=self._dtype, device=self.device_)
            train_loader = CrystalLoader(
                CrystalDataset(packed, train, targets, weights),
                self.batch_size,
                shuffle=True,
                by_size=self._by_size,
                transform=self._transform,
                seed=seed,
            )
            valid_loader = None
            if len(valid):
                valid_loader = CrystalLoader(
                    CrystalDataset(packed, valid, targets, weights),
                    self.batch_size,
                    shuffle=False,
                    by_size=self._by_size,
                )
            net = self._make_net(module, seed)
            checkpoint = Checkpoint.of(self, crystals, y, sample_weight, module)
            if checkpoint is not None:
                checkpoint.resume(net)
                net.callbacks_.append(("checkpoint", checkpoint))
            net.notify("on_train_begin", dataset_train=train_loader.dataset)
            try:
                net.fit_loop((train_loader, valid_loader))
            except KeyboardInterrupt:
                warnings.warn(
                    "training interrupted, by the user or by a callback; the model is as it was at "
                    "that moment (to stop early, set early_stopping=True)",
                    stacklevel=3,
                )
            net.notify("on_train_end", dataset_train=train_loader.dataset)
            net.settle(train_loader)
            net.check_outputs(train_loader)
        self.net_ = net
        self.n_iter_ = len(net.history)
        keys = ("train_loss", "valid_loss", "dur")
        self.history_ = [
            {"epoch": e["epoch"], **{k: float(e[k]) for k in keys if k in e}} for e in net.history
        ]

    def _make_net(self, module, seed):
        callbacks = []
        if self.early_stopping:
            callbacks.append(("stop_early", StopEarly(self.n_iter_no_change)))
        if self.verbose:
            callbacks.append(("progress", Progress()))
        net = CrystalNet(
            module,
            MaskedLoss(self.loss, self.task_weights),
            seed=seed,
            lr=self.lr,
            lr_schedule=self.lr_schedule,
            embedding_lr_ratio=self.embedding_lr_ratio,
            weight_decay=self.weight_decay,
            optimizer=self.optimizer,
            max_epochs=self.max_epochs,
            device=self.device_,
            callbacks=callbacks + list(self.callbacks or []),
            callbacks__print_log=None,
            verbose=0,
        )
        return net.initialize()

    def _check_elements(self, crystals):
        """Raise if the model knows nothing of an element; name the first row with one."""
        rows, numbers, _ = crystals.composition()
        self._check_known(crystals, rows, numbers)


def _copy_weights(source, module, with_head):
    weights = module.state_dict()
    for name, value in source.state_dict().items():
        if name.startswith("head") and not with_head:
            continue
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(
                f"the model to start from has another architecture: {name} {tuple(value.shape)} "
                "does not fit; use the same backbone, table and widths, or start anew"
            )
        weights[name] = value
    module.load_state_dict(weights)
