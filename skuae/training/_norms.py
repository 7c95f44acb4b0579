"""Batch norms of a network in training."""

from torch import nn

from skuae._ranks import are_together, summed
from skuae.crystals import CrystalBatch


def any_bond(batch: CrystalBatch) -> bool:
    """Return whether there is a bond in a batch, in the part of any rank."""
    n_bonds = len(batch.centers)
    if are_together():
        return bool(summed(batch.sizes.new_full((), n_bonds)) > 0)
    return n_bonds > 0


def check_norms(module: nn.Module) -> None:
    """Raise if a batch norm would take its statistics from one rank only.

    Parameters
    ----------
    module : torch.nn.Module

    Raises
    ------
    ValueError
    """
    for name, part in module.named_modules():
        of_rows = isinstance(part, nn.modules.batchnorm._BatchNorm)
        if of_rows and not getattr(part, "knows_ranks", False):
            raise ValueError(
                f"{name} is a {type(part).__name__}, which knows nothing of other ranks: train "
                "this back-end in one process, or use another norm, such as LayerNorm"
            )


def frozen_norms(module: nn.Module) -> list[nn.BatchNorm1d]:
    """Return the batch norms whose weights are frozen: their statistics belong to these.

    A norm without weights of its own counts as frozen with the part of the network that has it.
    """
    found = []
    for part in module.modules():
        for norm in part.children():
            if isinstance(norm, nn.BatchNorm1d):
                weights = list(norm.parameters()) or list(part.parameters())
                if weights and not any(weight.requires_grad for weight in weights):
                    found.append(norm)
    return found
