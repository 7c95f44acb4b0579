"""The skorch net of the estimators: batch format, loop and callbacks."""

from collections.abc import Callable
from typing import Any, NoReturn, Self

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from tqdm.auto import tqdm

from skuae._messages import such_rows
from skuae._ranks import agreed, are_together, own_draw, sum_gradients, summed
from skuae.crystals import CrystalBatch, Crystals
from skuae.models import CrystalModule
from skuae.training._callbacks import StoppedByCallback, was_raised
from skuae.training._data import CrystalLoader, TargetsOfBatch
from skuae.training._norms import any_bond, frozen_norms
from skuae.training._schedule import learning_rate
from skuae.training._seeds import seed_generators

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    # The fused one fails where a weight gets its first gradient later than others.
    "sgd": lambda groups, fused: torch.optim.SGD(groups, momentum=0.9),
}


class CrystalNet(NeuralNet):
    """A skorch net whose batches are `CrystalBatch`, trained epoch by reproducible epoch.

    Parameters
    ----------
    module : torch.nn.Module
        Built already; trained in place.
    criterion : torch.nn.Module
        From outputs and ``(targets, weights)`` of a batch to the loss.
    seed : int
        Randomness within an epoch follows from it and the epoch's number, so a run that is resumed
        continues exactly as if it had never stopped.
    lr_schedule : str
    embedding_lr_ratio : float
        Learning rate of the element table relative to that of all else.
    weight_decay : float
        Not applied to vectors (biases, norms) nor to the element table, whose rows of rare elements
        it would shrink.
    clip_norm : float or None
        Largest norm of the gradient of all weights together; longer ones are shortened.
    **options : dict
        As of skorch's ``NeuralNet``.
    """

    module_: CrystalModule
    criterion_: nn.Module
    optimizer_: torch.optim.Optimizer
    step_: int
    n_steps_: int
    n_rows_: int  # of the batch, in all ranks

    def __init__(
        self,
        module: CrystalModule,
        criterion: nn.Module,
        *,
        seed: int = 0,
        lr_schedule: str = "onecycle",
        embedding_lr_ratio: float = 1.0,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        **options: Any,
    ) -> None:
        self.seed = seed
        self.lr_schedule = lr_schedule
        self.embedding_lr_ratio = embedding_lr_ratio
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        super().__init__(module, criterion, **options)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Self:
        groups: dict = {}
        elements = {id(parameter) for parameter in self.module_.elements.parameters()}
        for parameter in self.module_.parameters():
            ratio = self.embedding_lr_ratio if id(parameter) in elements else 1.0
            plain = parameter.ndim < 2 or id(parameter) in elements
            groups.setdefault((ratio, 0.0 if plain else self.weight_decay), []).append(parameter)
        options = [
            {"params": parameters, "lr": self.lr * ratio, "weight_decay": decay}
            for (ratio, decay), parameters in groups.items()
        ]
        fused = torch.device(self.device).type in ("cpu", "cuda")
        self.optimizer_ = OPTIMIZERS[self.optimizer](options, fused=fused)
        self.peak_lrs_ = [group["lr"] for group in self.optimizer_.param_groups]
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; one that raises KeyboardInterrupt ends the training.

        Raises
        ------
        StoppedByCallback
            If a callback did; a Ctrl-C while it runs stays a KeyboardInterrupt.
        """
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            if was_raised(stop):
                raise StoppedByCallback(*stop.args) from stop
            raise

    def infer(self, x: CrystalBatch, **fit_params: Any) -> Tensor:
        for norm in frozen_norms(self.module_):
            norm.eval()
        return self.module_(x)

    def get_loss(
        self, y_pred: Tensor, y_true: TargetsOfBatch, X: Any = None, training: bool = False
    ) -> Tensor:
        loss = self.criterion_(y_pred, y_true)
        if training and are_together():  # a mean over the rows of all ranks
            loss = loss * (len(y_pred) / self.n_rows_)
        if training and not loss.requires_grad:
            raise ValueError(
                "callbacks: all weights of the network are frozen, and there is nothing to train; "
                "let a Freezer leave out some of them, such as those of the head"
            )
        return loss

    def fit_loop(
        self, X: CrystalLoader, y: None = None, epochs: None = None, **fit_params: Any
    ) -> Self:
        """Train to `max_epochs`; X gives the batches of the training rows."""
        datasets = {"dataset_train": X.dataset, "dataset_valid": None}
        self.n_steps_ = self.max_epochs * len(X)
        for epoch in range(len(self.history), self.max_epochs):
            X.epoch = epoch
            draw = np.random.SeedSequence(own_draw(self.seed, epoch)).generate_state(1)[0]
            seed_generators(int(draw), torch.device(self.device))
            self.step_ = epoch * len(X)
            self.notify("on_epoch_begin", **datasets)
            self.run_single_epoch(X, training=True, prefix="train", step_fn=self.train_step)
            self._check_last_loss()
            self._end_epoch(datasets)
            self.history[-1]["batches"] = []  # of use within the epoch only, and many
        return self

    def _end_epoch(self, datasets: dict[str, Any]) -> None:
        """Call the callbacks; where several ranks fit together, those of rank 0 may end it."""
        stop = None
        try:
            self.notify("on_epoch_end", **datasets)
        except StoppedByCallback as error:
            stop = error
        if agreed(stop is not None):
            raise stop or StoppedByCallback

    def run_single_epoch(
        self,
        iterator: CrystalLoader,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Run over all batches; their losses in the history become floats at the end.

        skorch makes a float of each loss at once, so that a GPU has nothing to do while the host
        cuts the next batch.
        """
        name = f"{prefix}_loss"
        batches: list[dict[str, Any]] = self.history[-1]["batches"]
        try:
            for batch in iterator:
                self.n_rows_ = iterator.n_rows
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                self.history.record_batch(name, step["loss"].detach())
                self.history.record_batch(f"{prefix}_batch_size", self.n_rows_)
                self.notify("on_batch_end", batch=batch, training=training, **step)
        finally:  # also where the user interrupts: the history is pickled with the estimator
            for record in batches:
                if name in record:
                    record[name] = record[name].item()
        self.history.record(f"{prefix}_batch_count", len(iterator))

    def _check_last_loss(self) -> None:
        if not np.isfinite(self.history[-1, "batches", -1, "train_loss"]):
            self.raise_diverged(f"the loss of epoch {len(self.history)} is not finite")

    @torch.no_grad()
    def settle(self, loader: CrystalLoader) -> None:
        """Give batch norms the mean statistics of all training batches under the final weights.

        Their running averages lag behind the weights by some ten steps, which is most of a short
        training. Frozen norms keep theirs. Where the user interrupts, the mean is that of the
        batches so far.

        Parameters
        ----------
        loader : CrystalLoader
            Of the training rows.
        """
        frozen = frozen_norms(self.module_)
        norms = [m for m in self.module_.modules() if isinstance(m, nn.BatchNorm1d)]
        norms = [norm for norm in norms if norm not in frozen]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        loader.epoch = len(self.history)
        self.module_.train()
        batches = (batch for batch, _ in loader)
        # A batch without a single bond, where others have some, has no statistics of bonds.
        bonded = (batch for batch in batches if batch.centers is None or any_bond(batch))
        try:
            for i, batch in enumerate(bonded):
                for norm in norms:
                    norm.momentum = 1 / (i + 1)  # a plain average over the batches so far
                self.infer(batch)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum

    def check_outputs(self, loader: CrystalLoader) -> None:
        """Raise if the module in its final state gives numbers that are not finite.

        The last step may have been one too many: no loss is taken after it.

        Parameters
        ----------
        loader : CrystalLoader

        Raises
        ------
        ValueError
        """
        batch, _ = next(iter(loader))
        self.module_.eval()
        with torch.inference_mode():
            state = self.module_.state_dict().values()
            if not all(values.isfinite().all() for values in (self.module_(batch), *state)):
                self.raise_diverged("its outputs are not finite")

    def raise_diverged(self, what: str) -> NoReturn:
        """Raise ValueError with the way out.

        Parameters
        ----------
        what : str
            What is wrong.
        """
        raise ValueError(f"training diverged: {what}; lower lr (it is {self.lr})")

    def train_step(
        self, batch: tuple[CrystalBatch, TargetsOfBatch], **fit_params: Any
    ) -> dict[str, Any]:
        relative = learning_rate(self.lr_schedule, self.step_ / self.n_steps_)
        for group, peak in zip(self.optimizer_.param_groups, self.peak_lrs_, strict=True):
            group["lr"] = peak * relative
        self.step_ += 1
        step = super().train_step(batch, **fit_params)
        return {**step, "loss": summed(step["loss"].detach())} if are_together() else step

    def on_grad_computed(self, net: Self, named_parameters: Any, **kwargs: Any) -> None:
        """Add up the ranks' gradients and clip; skorch calls this between backward and step."""
        sum_gradients(self.module_.parameters())
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.module_.parameters(), self.clip_norm)

    def outputs(self, loader: CrystalLoader, method: str = "__call__") -> np.ndarray:
        """Return what a method of the module gives for all rows.

        Parameters
        ----------
        loader : CrystalLoader
            Not shuffled.
        method : str, default="__call__"

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            In the order of the rows.
        """
        self.module_.eval()
        return outputs_of(getattr(self.module_, method), loader)


@torch.inference_mode()
def outputs_of(run: Callable[[CrystalBatch], Tensor], loader: CrystalLoader) -> np.ndarray:
    """Return what a function of batches gives for all rows.

    Parameters
    ----------
    run : callable
        From a batch of B crystals to a Tensor of shape (B, n_columns).
    loader : CrystalLoader
        Not shuffled.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        In the order of the rows.
    """
    index = np.concatenate(loader.order())
    outputs = torch.cat([run(batch) for batch, _ in loader])
    result = torch.empty_like(outputs)
    result[torch.as_tensor(index, device=outputs.device)] = outputs
    return result.cpu().numpy()


def check_finite(outputs: np.ndarray, crystals: Crystals) -> None:
    """Raise if a network gives numbers that are not finite; name the first row.

    Parameters
    ----------
    outputs : ndarray of shape (n_crystals, n_columns)
    crystals : Crystals

    Raises
    ------
    ValueError
    """
    wrong = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{crystals.where(int(wrong[0]))}: the network gives numbers that are not finite"
            f"{such_rows(len(wrong))}; check the structure, or drop the row"
        )


class Progress(Callback):
    """A progress bar over all steps, with the epoch and its loss."""

    bar_: Any  # while there are steps, else None

    def on_train_begin(self, net: CrystalNet, **kwargs: Any) -> None:
        """Forget the bar of an earlier run."""
        self.bar_ = None

    def on_batch_end(self, net: CrystalNet, training: bool = False, **kwargs: Any) -> None:
        """Advance by one step."""
        if not training:
            return
        if self.bar_ is None:
            self.bar_ = tqdm(
                total=net.n_steps_, initial=net.step_ - 1, unit="batch", mininterval=0.5
            )
        self.bar_.update(net.step_ - self.bar_.n)

    def on_epoch_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Show the loss of the epoch."""
        last = net.history[-1]
        epoch = f"{last['epoch']}/{net.max_epochs}"
        self.bar_.set_postfix({"epoch": epoch, "loss": f"{last['train_loss']:.4f}"})

    def on_train_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Close the bar; net and callbacks are pickled with the estimator."""
        if self.bar_ is not None:
            self.bar_.close()
            self.bar_ = None
