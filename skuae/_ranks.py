"""Training shared by several processes, the ranks of torch.distributed.

torchrun and accelerate start the same script several times and number the processes in the
environment. A fit there is one training: each rank computes a part of each batch, and the functions
below add these up. In a single process they return their arguments.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # as torchrun and accelerate set them
_PATIENCE = timedelta(minutes=30)  # for other ranks; then the fit fails
_LOST = "another rank ended without an error of its own: was it killed, is its machine in reach?"

Number = TypeVar("Number", int, float, bool)


class LostRank(RuntimeError):
    """Another rank takes no part any more."""


def rank_and_size() -> tuple[int, int]:
    """Return the number of this process and how many there are, as the environment says.

    Returns
    -------
    rank, size : int
        0 and 1 in a process that was not started as one of several.

    Raises
    ------
    ValueError
        If the environment contradicts itself.
    """
    if not all(os.environ.get(name) for name in _NAMES):
        return 0, 1
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ValueError(
            f"the environment has RANK={rank!r} and WORLD_SIZE={size!r}: start the script with "
            "torchrun, or remove WORLD_SIZE to train in one process"
        )
    return int(rank), int(size)


def refuse_ranks(what: str) -> None:
    """Raise ValueError if this is one of several ranks.

    Parameters
    ----------
    what : str
        What works in one process only.
    """
    _, size = rank_and_size()
    if size > 1:
        raise ValueError(
            f"{what} works in one process, and this is one of {size} ranks: start the script "
            "without torchrun or accelerate, or remove WORLD_SIZE from os.environ"
        )


def local_device() -> int:
    """Return the number of the GPU of this process: of ranks on one machine, each has its own.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there are fewer GPUs than ranks on this machine.
    """
    if rank_and_size()[1] == 1:
        return torch.cuda.current_device()
    number, n = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= n:
        raise ValueError(
            f"rank {number} of this machine has no GPU of its own, there are {n}: start one "
            'process per GPU (--nproc-per-node), or set device="cpu"'
        )
    return number


class _Together:
    """The ranks of a fit that is running."""

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device
        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=_PATIENCE)
        # A group for each fit: after an error it is closed, and all ranks notice that.
        nccl = device.type == "cuda" and dist.is_nccl_available()
        self.group: Any = dist.new_group(backend="nccl" if nccl else "gloo", timeout=_PATIENCE)
        self.note = f"skuae: error in {self.group.group_name}"

    def leave_note(self, error: BaseException) -> None:
        """Tell the other ranks why this one ends; they read it when they miss this one."""
        text = f"rank {self.rank} of {self.size} ended it: {type(error).__name__}: {error}"
        with suppress(Exception):  # where they are gone, too
            _store().set(self.note, text)

    def read_note(self) -> str:
        """Return why another rank has ended."""
        with suppress(Exception):  # the store may be gone with its process
            if _store().check([self.note]):
                return _store().get(self.note).decode()
        return _LOST

    def close(self) -> None:
        """Leave the group; ranks that wait in it get an error."""
        group, self.group = self.group, None
        with suppress(Exception):  # a group that has lost a rank
            dist.destroy_process_group(group)


_together: _Together | None = None  # while a fit runs on several ranks


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Share what is trained inside the ``with`` block among the ranks, if there are several.

    An error in one rank becomes an error in all, so that they stay in step. A block within another
    changes nothing.

    Parameters
    ----------
    device : torch.device

    Raises
    ------
    RuntimeError
        If another rank has failed.
    ValueError
        If this process or thread is no rank of its own, or devices of this type cannot communicate.
    """
    global _together
    rank, size = rank_and_size()
    if size > 1:
        _check_process(size)
    if size == 1 or _together is not None:
        yield
        return
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f'several ranks train on CUDA or the CPU, not on {device}; set device="cpu"'
        )
    _together = _Together(rank, size, device)
    try:
        yield
        agreed(0)  # all have a model, or none
    except LostRank as error:
        raise RuntimeError(f"a fit on {size} ranks failed; {_together.read_note()}") from error
    except BaseException as error:
        _together.leave_note(error)
        raise
    finally:
        _together.close()
        _together = None


def _check_process(size: int) -> None:
    """Raise if this is a worker of a rank, in a process or a thread."""
    in_thread = threading.current_thread() is not threading.main_thread()
    is_worker = multiprocessing.current_process().name != "MainProcess"
    if in_thread or (is_worker and not dist.is_initialized()):
        raise ValueError(
            f"this is a worker {'thread' if in_thread else 'process'} in one of {size} ranks, and "
            "a fit on several ranks has to run in the ranks themselves: set n_jobs=1. To train "
            "in this process alone, remove WORLD_SIZE from os.environ; if it is a rank itself, "
            "call torch.distributed.init_process_group first"
        )


def are_together() -> bool:
    """Return whether a fit is running that several ranks share."""
    return _together is not None


def is_first() -> bool:
    """Return whether this is the process that writes files and shows progress."""
    return rank_and_size()[0] == 0


def own_draw(*key: int) -> list[int]:
    """Return the key of random numbers that the ranks draw on their own; rank 0's is as given.

    Parameters
    ----------
    *key : int

    Returns
    -------
    list of int
    """
    rank = 0 if _together is None else _together.rank
    return [*key, rank] if rank else [*key]


def own_part(rows: np.ndarray) -> np.ndarray:
    """Return the consecutive part of the rows of a batch that this rank computes.

    Parameters
    ----------
    rows : ndarray of shape (n,)

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If there are fewer rows than ranks.
    """
    if _together is None:
        return rows
    rank, size, n = _together.rank, _together.size, len(rows)
    if n < size:
        raise ValueError(
            f"a batch has {n} crystals, fewer than there are ranks ({size}): start fewer "
            "processes, or raise batch_size"
        )
    return rows[n * rank // size : n * (rank + 1) // size]


def agreed(value: Number) -> Number:
    """Return the number that rank 0 has."""
    if _together is None:
        return value
    tensor = torch.tensor([float(value)], dtype=torch.float64, device=_together.device)
    with _noticing():
        dist.broadcast(tensor, src=0, group=_together.group)
    return type(value)(tensor.item())


def check_same(digest: str, what: str) -> None:
    """Raise if this rank has another fingerprint than rank 0.

    Parameters
    ----------
    digest : str
        Hexadecimal.
    what : str
        Of what it is.

    Raises
    ------
    ValueError
    """
    number = int(digest[:12], 16)  # which a float64 holds
    if agreed(number) != number:
        raise ValueError(
            f"{what} differ from those of rank 0, and all ranks must fit the same: fix the seeds "
            "by which the script splits and shuffles. To train another model in each process, "
            "remove WORLD_SIZE from os.environ"
        )


def summed(x: Tensor) -> Tensor:
    """Return the sum of a tensor over the ranks, with gradients.

    A gradient is that of the sum of the losses of all ranks.
    """
    return x if _together is None else _Summed.apply(x)


def gathered(x: Tensor) -> Tensor:
    """Return the vectors x (n,) of all ranks, (n_ranks, n), with gradients as in `summed`."""
    return x[None] if _together is None else _Gathered.apply(x)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients by their sums over the ranks; a missing one counts as 0.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
    """
    if _together is None:
        return
    trained = [p for p in parameters if p.requires_grad]
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    there = torch.tensor([p.grad is not None for p in trained], dtype=found[0].dtype)
    sums = summed(torch.cat([there.to(found[0].device), *(g.flatten() for g in found)]))
    counts, *sums = sums.split([len(trained), *(g.numel() for g in found)])
    for i, (parameter, gradient) in enumerate(zip(trained, sums, strict=True)):
        if parameter.grad is not None:
            parameter.grad.copy_(gradient.view_as(parameter))
        elif counts[i] > 0:
            parameter.grad = gradient.view_as(parameter).clone()


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Summed.apply(grad)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        assert _together is not None
        parts = [torch.empty_like(x) for _ in range(_together.size)]
        with _noticing():
            dist.all_gather(parts, x.contiguous(), group=_together.group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        assert _together is not None
        return _Summed.apply(grad)[_together.rank]


def _all_reduced(x: Tensor) -> Tensor:
    assert _together is not None
    total = x.clone(memory_format=torch.contiguous_format)
    with _noticing():
        dist.all_reduce(total, group=_together.group)
    return total


@contextmanager
def _noticing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the errors of torch.distributed are of this class
        raise LostRank(str(error)) from error


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()
