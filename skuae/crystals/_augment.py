"""Random rotations and translations of the crystals in a batch."""

import torch
from torch import Tensor

from skuae.crystals._batch import CrystalBatch
from skuae.crystals._tensors import to_device


def augment(
    batch: CrystalBatch, generator: torch.Generator, *, coord_noise: float = 0.0
) -> CrystalBatch:
    """Rotate every crystal and shift its origin at random; physical properties stay the same.

    Parameters
    ----------
    batch : CrystalBatch
        With coordinates and lattices.
    generator : torch.Generator
        On the CPU, so that all devices get the same random numbers.
    coord_noise : float, default=0.0
        Standard deviation of noise on Cartesian coordinates, in Å.

    Returns
    -------
    CrystalBatch
        A new one; the given batch stays as it is.
    """

    def put(drawn: Tensor) -> Tensor:
        return to_device(drawn.to(batch.lattices.dtype), batch.lattices.device)

    turn = put(random_orthogonal(len(batch), generator))
    shift = put(torch.rand(len(batch), 3, generator=generator))
    lattices = batch.lattices @ turn
    frac_coords = (batch.frac_coords + shift[batch.crystal]) % 1.0
    if coord_noise:
        noise = put(torch.randn(frac_coords.shape, generator=generator)) * coord_noise
        # Not inv: it asks the device whether all went well.
        inverse = torch.linalg.inv_ex(lattices).inverse[batch.crystal]
        frac_coords = frac_coords + torch.einsum("ni,nij->nj", noise, inverse)
    return batch.replace(lattices=lattices, frac_coords=frac_coords)


def random_orthogonal(n: int, generator: torch.Generator) -> Tensor:
    """Draw rotations from the Haar measure, half of them followed by an inversion.

    Parameters
    ----------
    n : int
    generator : torch.Generator

    Returns
    -------
    Tensor of shape (n, 3, 3)
    """
    q = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    sign = torch.randint(0, 2, (n, 1, 1), generator=generator) * 2 - 1
    return torch.stack(rows, 1).view(n, 3, 3) * sign
