"""Modules that are built to take weights from a file."""

from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

_FACTORIES = {"arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "zeros"}


class SparingBuild(TorchFunctionMode):
    """Build modules without random numbers, and none that is far larger than the file.

    A fit in another thread may be using torch's numbers, and the first weights are replaced anyway.

    Parameters
    ----------
    arrays : dict of ndarray
        The weights of the file.

    Raises
    ------
    ValueError
        Inside of the ``with`` block, if a module is built that asks for far more weights.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.left = 10_000_000 + sum(20_000 + 4 * array.size for array in arrays.values())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _FACTORIES:
            self.left -= 10_000 + func(*args, **{**kwargs, "device": "meta"}).numel()
            if self.left < 0:
                raise ValueError("its back-end asks for more weights than there are in the file")
        if name.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return torch.zeros(*args, **kwargs) if name == "randn" else func(*args, **kwargs)
