"""What all crystal estimators share: from checked rows to a trained net and back."""

import warnings
from contextlib import contextmanager, nullcontext
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

import skuae
from skuae.embedding import crystals_and_table
from skuae.training._checkpoint import Checkpoint
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._net import CrystalNet, Progress, StopEarly, seed_generators, seeded_section
from skuae.training._params import check_training_params, resolve_device
from skuae.training._persistence import PretrainedMixin, encode_params, read_folder
from skuae.training._targets import check_sample_weight, loss_weights


class Targets(NamedTuple):
    """What `fit` was told to learn, checked."""

    values: np.ndarray  # (n_samples, n_targets) float64, NaN where unknown; or (n_samples, 1) codes
    given: np.ndarray  # of the same length, for an estimator that learns a table from it
    names: list | None
    facts: dict  # attributes of the fitted estimator


class BaseCrystalEstimator(PretrainedMixin, BaseEstimator):
    """Fit crystal estimators; subclasses bring the task on one side, the network on the other.

    `BaseCrystalRegressor` and `BaseCrystalClassifier` bring the task: ``_read_targets``,
    ``_check_continued``, ``_hold_back``, ``_fit_task``, ``_scaled``, ``_weigh``, ``_n_outputs``,
    ``_criterion``, and ``_get_task`` and ``_set_task`` for saving.

    A public class stores its parameters in ``__init__`` and brings the network: ``_relatives``
    (names of the public classes whose weights `init_from` can take), ``_prepare`` (parameters that
    decide about the data), ``_pack`` (crystals to tensors), ``_build`` (the module),
    ``_check_known`` (elements), ``_make_table`` (the element table of the trained module), and
    ``_get_fitted`` and ``_set_fitted`` for saving.
    """

    _dtype = torch.float32
    _by_size = False  # put crystals of equal size together in a batch
    _transform = None  # augmentation of training batches
    _relatives: tuple[str, ...] = ()

    def _fit(self, X, y, sample_weight):
        source = self._source()
        continued = source is self
        if not continued:
            self.__dict__.pop("net_", None)  # should this fit fail, no half of it predicts
        with _as_it_was(self) if continued else nullcontext():
            check_training_params(self)
            device = resolve_device(self.device)
            crystals, table = crystals_and_table(X)
            targets = self._read_targets(y, crystals)
            sample_weight = check_sample_weight(sample_weight, crystals)
            if continued:
                self._check_continued(targets)
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            train, valid = self._split(targets, sample_weight, seed)
            if not continued:
                weight = None if sample_weight is None else sample_weight[train]
                self._fit_task(targets, train, weight)
            self._prepare(crystals, table, targets.given, sample_weight, source, train, valid)
            self.device_ = device
            self._train(crystals, targets, sample_weight, train, valid, seed, source)
            vars(self).update(targets.facts)
            self.target_names_ = targets.names
            self._fit_params = encode_params(self)
        return self

    def _outputs(self, X, method="__call__"):
        """Return what a method of the network gives for the rows of X, (n_samples, n_outputs)."""
        check_is_fitted(self)
        crystals, _ = crystals_and_table(X)
        self._check_elements(crystals)
        packed = self._pack(crystals, self.device_)
        dataset = CrystalDataset(packed, np.arange(len(crystals)))
        loader = CrystalLoader(dataset, self.batch_size, shuffle=False, by_size=self._by_size)
        return self.net_.outputs(loader, method)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
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

    def _split(self, targets, sample_weight, seed):
        """Return the rows to train on and the rows to stop by (none without early stopping).

        Rows that teach nothing, without a known target or with weight zero, are in neither.
        """
        known = ~np.isnan(targets.values)
        if sample_weight is not None:
            known &= sample_weight[:, None] > 0
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows) and not known.any(axis=0).all():
            column = int(known.any(axis=0).argmin())
            raise ValueError(
                f"target {targets.names[column] if targets.names else column} is known in rows of "
                "weight 0 only: there is nothing to learn; drop it"
            )
        n = len(rows)
        if n < 2:
            what = "sample" if len(known) < 2 else "rows with a known target and a weight"
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
        train, valid = self._hold_back(targets, order, n_valid)
        train, valid = np.sort(train), np.sort(valid)
        missing = ~known[train].any(axis=0) | ~known[valid].any(axis=0)
        if missing.any():
            column = int(np.flatnonzero(missing)[0])
            raise ValueError(
                f"target {targets.names[column] if targets.names else column} is known in "
                f"{int(known[:, column].sum())} rows, too few to be both learned and validated: "
                "set early_stopping=False or a larger validation_fraction"
            )
        return train, valid

    def _source(self):
        """Return the fitted estimator that training starts from (with warm_start, self) or None."""
        if self.warm_start and hasattr(self, "net_"):
            return self
        source = self.init_from
        if source is None:
            return None
        if isinstance(source, (str, PathLike)):
            config, tensors = read_folder(source)
            kinds = {name: getattr(skuae, name) for name in self._relatives}
            kind = {**kinds, type(self).__name__: type(self)}.get(config["class"])
            if kind is None:
                raise TypeError(f"init_from holds a {self._not_of_kin(config['class'])}")
            return kind._restore(config, tensors, "cpu")
        if isinstance(source, FrozenEstimator):  # as needed in the grid of a search
            source = source.estimator
        if not any(kind.__name__ in self._relatives for kind in type(source).__mro__):
            raise TypeError(f"init_from is a {self._not_of_kin(type(source).__name__)}")
        check_is_fitted(source)
        return source

    def _train(self, crystals, targets, sample_weight, train, valid, seed, source):
        with seeded_section(self.device_):
            seed_generators(seed, self.device_)
            module = self._build(self._n_outputs()).to(self._dtype)
            if source is not None:
                _copy_weights(source.net_.module_, module, with_head=source is self)
            packed = self._pack(crystals, self.device_)
            loader_options = {"batch_size": self.batch_size, "by_size": self._by_size}

            def put(array):
                if array is None:
                    return None
                return torch.tensor(array, dtype=self._dtype, device=self.device_)

            y = put(self._scaled(targets.values))
            counted = self._weigh(targets, sample_weight)
            weights = put(loss_weights(targets.values, counted, train))
            train_loader = CrystalLoader(
                CrystalDataset(packed, train, y, weights),
                shuffle=True,
                transform=self._transform,
                seed=seed,
                **loader_options,
            )
            valid_loader = None
            if len(valid):
                valid_loader = CrystalLoader(
                    CrystalDataset(packed, valid, y, weights), shuffle=False, **loader_options
                )
            net = self._make_net(module, seed)
            checkpoint = Checkpoint.of(self, crystals, targets.values, sample_weight, module)
            if checkpoint is not None:
                checkpoint.resume(net)
                net.callbacks_.append(("checkpoint", checkpoint))
            net.notify("on_train_begin", X=None, y=None)
            try:
                net.fit_loop((train_loader, valid_loader))
            except KeyboardInterrupt:
                state = "is as it was at that moment"
                if not self.early_stopping:
                    state += " (to stop early, set early_stopping=True)"
                if any(epoch.get("valid_loss") is not None for epoch in net.history):
                    state = "has the weights of its best epoch so far"
                warnings.warn(
                    f"training interrupted, by the user or by a callback; the model {state}",
                    stacklevel=5,
                )
            net.notify("on_train_end", X=None, y=None)
            net.settle(train_loader)
            net.check_outputs(train_loader)
        self.net_ = net
        keys = ("train_loss", "valid_loss", "dur")
        self.history_ = [
            {"epoch": e["epoch"], **{k: float(e[k]) for k in keys if k in e}}
            for e in net.history
            if "train_loss" in e  # not that of an interruption
        ]
        self.n_iter_ = len(self.history_)

    def _make_net(self, module, seed):
        callbacks = []
        if self.early_stopping:
            callbacks.append(("stop_early", StopEarly(self.n_iter_no_change)))
        if self.verbose:
            callbacks.append(("progress", Progress()))
        net = CrystalNet(
            module,
            self._criterion(),
            seed=seed,
            lr=self._peak_lr(),
            lr_schedule=self.lr_schedule,
            embedding_lr_ratio=self._element_lr_ratio(),
            weight_decay=self.weight_decay,
            clip_norm=self._clip_norm(),
            optimizer=self.optimizer,
            max_epochs=self.max_epochs,
            device=self.device_,
            callbacks=callbacks + list(self.callbacks or []),
            callbacks__print_log=None,
            verbose=0,
        )
        return net.initialize()

    def _peak_lr(self):
        return self.lr

    def _clip_norm(self):
        return None

    def _element_lr_ratio(self):
        return self.embedding_lr_ratio

    def _check_elements(self, crystals):
        """Raise if the model knows nothing of an element; name the first row with one."""
        rows, numbers, _ = crystals.composition()
        self._check_known(crystals, rows, numbers)

    def _not_of_kin(self, name):
        return (
            f"{name}; {type(self).__name__} can start from a fitted "
            f"{' or '.join(self._relatives)}, or the folder of a saved one"
        )


@contextmanager
def _as_it_was(estimator):
    """Put a fitted estimator back if what follows fails."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


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
