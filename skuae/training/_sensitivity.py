"""How much predictions depend on each direction of the element vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.extmath import svd_flip
from torch import Tensor

from skuae.training._data import CrystalLoader
from skuae.training._net import CrystalNet


def sensitivity(net: CrystalNet, loader: CrystalLoader, weights: Sequence[float]) -> np.ndarray:
    """Average the outer product of gradients of predictions by element vectors.

    Parameters
    ----------
    net : CrystalNet
        Its module has `elements`, whose output are the vectors of the sites.
    loader : CrystalLoader
    weights : sequence of float of length n_outputs
        How much each output counts.

    Returns
    -------
    ndarray of shape (d, d)
        Symmetric, not negative: for a small change v of a random site's vector, v' G v is the
        mean square by which the predictions for its crystal change, times the sites it has.
    """
    module = net.module_
    rows: list[Tensor] = []

    def cut(_: Any, __: Any, out: Tensor) -> Tensor:
        rows.append(out.detach().requires_grad_())  # also where the table itself is frozen
        return rows[-1]

    hook = module.elements.register_forward_hook(cut)
    module.eval()
    total = torch.zeros((), dtype=torch.float64)
    try:
        for batch, _ in loader:
            outputs = module(batch)
            sites = rows.pop()
            for column, weight in enumerate(weights):
                (g,) = torch.autograd.grad(outputs[:, column].sum(), sites, retain_graph=True)
                g = g * batch.sizes[batch.crystal, None].sqrt()
                total = total + weight * (g.T @ g).cpu().double()
    finally:
        hook.remove()
    return (total / len(loader.dataset)).numpy()


def scale_by(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn centred vectors to the eigenvectors of a sensitivity, and scale them by its root.

    Distances then count what predictions depend on: the squared length of a difference v becomes
    proportional to v' G v.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    matrix : ndarray of shape (d, d)

    Returns
    -------
    ndarray of shape (n, d)
        Columns by falling sensitivity; values have mean 0 and, all together, variance 1.
    """
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(matrix)
    vectors, _ = svd_flip(vectors, None)  # the sign of an axis is free: the same on any machine
    scaled = centred @ (vectors * np.sqrt(values.clip(0)))[:, ::-1]
    spread = scaled.std()
    return scaled / spread if spread > 0 else rows
