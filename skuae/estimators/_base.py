"""The common part of all crystal estimators: training and predictions of checked rows."""

from functools import cache, partial
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skuae._hub import shipped_first
from skuae._ranks import agreed, together
from skuae._warnings import warn
from skuae.embedding import ElementTable
from skuae.estimators._reading import read_model_folder
from skuae.estimators._rows import rows_and_table
from skuae.estimators._saving import PretrainedEstimator, encode_estimator
from skuae.estimators._settings import settings_of
from skuae.training import (
    FitData,
    FittedTask,
    Network,
    Trained,
    check_finite,
    check_rows,
    check_sample_weight,
    check_training_params,
    dataset_maker,
    find_epochs,
    fit_network,
    history_of,
    library_defaults,
    make_loader,
    name_uncloneable,
    resolve_device,
    seed_of,
    split_validation,
)


class CrystalEstimator(PretrainedEstimator):
    """Fit, predict and save; a fitted one is a task, a network and the net that trained it.

    A public class stores its parameters in ``__init__`` and says what it is made of:

    - ``_task()``: the `Task`, from its parameters;
    - ``_network(data, table, source)``: the `Network`, from the rows, the element table that came
      with X, and the fitted estimator to start from;
    - ``_load_elements(config, arrays)``: the `ElementInput` that a saved model has.

    ``_relatives`` names the public classes whose weights `init_from` can take.
    """

    # Parameters that all public classes have, as far as they are read here.
    batch_size: int
    callbacks: Any
    device: str | torch.device
    early_stopping: bool
    init_from: Any
    max_epochs: int
    random_state: Any
    refit: bool
    validation_fraction: float
    verbose: int
    warm_start: bool

    _dtype = torch.float32
    _relatives: ClassVar[tuple[str, ...]] = ()
    _kinds: ClassVar[dict[str, type["CrystalEstimator"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("skuae."):  # a user's subclass is not what a file names
            CrystalEstimator._kinds[cls.__name__] = cls

    def _network(
        self, data: FitData, table: ElementTable | None, source: "CrystalEstimator | None"
    ) -> Network:
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        with library_defaults():
            interruption = self._train(X, y, sample_weight)
        if interruption is not None:
            raise interruption  # the model is there, but no search is to go on with it
        return self

    def _train(self, X: Any, y: Any, sample_weight: Any) -> KeyboardInterrupt | None:
        source = self._source()
        if source is not self:
            self.__dict__.pop("net_", None)  # if this fit fails, the estimator is not fitted
        check_training_params(self)
        device = resolve_device(self.device)
        with together(device):
            return self._train_from(source, device, X, y, sample_weight)

    def _train_from(
        self,
        source: "CrystalEstimator | None",
        device: torch.device,
        X: Any,
        y: Any,
        sample_weight: Any,
    ) -> KeyboardInterrupt | None:
        continued = source is self
        task = self._task()
        crystals, table = rows_and_table(X)
        for name, rows in (("y", y), ("sample_weight", sample_weight)):
            check_rows(rows, crystals, name)
        targets = task.read(y, crystals)
        sample_weight = check_sample_weight(sample_weight, crystals)
        seed = agreed(seed_of(self.random_state))
        start = None if source is None else source.net_.module_

        @cache  # the trainings of early stopping share rows and table
        def part(hold_back: bool) -> tuple[FittedTask, Network, FitData]:
            fraction = self.validation_fraction if hold_back else None
            rows, valid = split_validation(task, targets, sample_weight, seed, fraction)
            data = FitData(crystals, targets, sample_weight, rows, valid)
            if continued:
                fitted = task.resume(targets, rows, data.train_weight, self.task_)
            else:
                fitted = task.fit(targets, rows, data.train_weight)
            return fitted, self._network(data, table, source), data

        def train(n_epochs: int, hold_back: bool) -> Trained:
            fitted, network, data = part(hold_back)
            settings = settings_of(self, network, device, seed, n_epochs)
            return fit_network(fitted, network, data, settings, start, with_head=continued)

        # Only what is complete replaces what was there.
        if self.early_stopping and not continued:  # which has seen all rows
            trained, tried, stop = find_epochs(train, self.max_epochs, refit=self.refit)
        else:
            trained, tried = train(self.max_epochs, False), []
            stop = trained.stop
        self.task_, self.network_, self.net_ = trained.task, trained.network, trained.net
        self.device_, self.epochs_tried_ = device, tried
        self.history_ = history_of(self.net_)
        self.n_iter_ = len(self.history_)
        self.target_names_, self.target_units_ = targets.names, None
        self._fit_params = encode_estimator(self)
        self.init_from = without_source(self.init_from)
        _warn_if_interrupted(trained, stop)
        return stop

    @classmethod
    def _restore(cls, *saved: Any) -> Self:
        with library_defaults():
            return super()._restore(*saved)

    def _outputs(self, X: Any, method: str = "__call__") -> np.ndarray:
        """Return the outputs of a method of the network for X, (n_samples, n_outputs)."""
        check_is_fitted(self)
        with library_defaults():
            crystals, _ = rows_and_table(X)
            self.network_.check(crystals)
            pack = partial(self.network_.pack, device=self.device_, verbose=self.verbose)
            dataset = dataset_maker(crystals, pack)(np.arange(len(crystals)))
            by_size = self.network_.backbone.pads
            loader = make_loader(dataset, self.batch_size, shuffle=False, by_size=by_size)
            outputs = self.net_.outputs(loader, method)
        check_finite(outputs, crystals)
        return outputs

    def _source(self) -> "CrystalEstimator | None":
        """Return the fitted estimator that training starts from (with warm_start, self) or None."""
        if self.warm_start and hasattr(self, "net_"):
            return self
        source = self.init_from
        if source is None:
            return None
        if isinstance(source, (str, PathLike)):
            folder = shipped_first(source)
            config, tensors = read_model_folder(folder)
            name = config.get("class")
            if name not in (*self._relatives, type(self).__name__):
                raise TypeError(f"init_from={str(source)!r} holds a {self._not_of_kin(name)}")
            kind = type(self) if name == type(self).__name__ else self._kinds[name]
            return kind._restore(folder, config, tensors, "cpu")
        if isinstance(source, FrozenEstimator):  # as needed in the grid of a search
            source = source.estimator
        if not any(kind.__name__ in self._relatives for kind in type(source).__mro__):
            raise TypeError(f"init_from is a {self._not_of_kin(type(source).__name__)}")
        check_is_fitted(source)
        return source

    def _not_of_kin(self, name: Any) -> str:
        return (
            f"{name}; {type(self).__name__} can start from a fitted "
            f"{' or '.join(self._relatives)}, or the folder of a saved one"
        )

    # -- what scikit-learn and MAPIE ask for ------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags

    def __sklearn_clone__(self) -> Self:
        # scikit-learn clones parameters too, and a clone of a fitted model is not fitted.
        try:
            copy = super().__sklearn_clone__()
        except Exception as error:
            name_uncloneable(self.callbacks, error)
            raise
        return copy.set_params(init_from=self.init_from)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")  # a failed fit leaves none

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has left a model; MAPIE asks for it."""
        return self.__sklearn_is_fitted__()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if hasattr(self, "net_"):  # unpickled, it may have moved to a device that is here
            self.device_ = next(self.net_.module_.parameters()).device


def _warn_if_interrupted(trained: Trained, stop: KeyboardInterrupt | None) -> None:
    """Warn which model the estimator holds after an interruption."""
    if stop is not None and stop is not trained.stop:  # that of a later training
        warn(
            f"training interrupted; the model is the best so far, after {trained.net.max_epochs} "
            "epochs without the rows held back"
        )
    elif stop is not None:
        warn("training interrupted; the model is as it was then")
    elif trained.was_cut:
        warn("training interrupted by a callback; the model is as it was then")


def without_source(source: Any) -> Any:
    """Return what `init_from` is to hold after fit: a source whose own source is let go.

    A chain of fits, each from the one before, would hold all of them.
    """
    if isinstance(source, FrozenEstimator):
        inner = without_source(source.estimator)
        return source if inner is source.estimator else FrozenEstimator(inner)
    if not isinstance(source, CrystalEstimator) or source.init_from is None:
        return source
    copy = object.__new__(type(source))
    copy.__dict__.update(source.__dict__, init_from=None)
    return copy
