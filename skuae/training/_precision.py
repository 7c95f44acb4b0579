"""Precision of edges and angles: float32 or bfloat16."""

import torch

from skuae._warnings import warn
from skuae.crystals import CrystalGraphs, Crystals, ReducedGraphs
from skuae.datasets import Shards
from skuae.models import Backbone

PRECISIONS = ("float32", "bf16", "auto")
# Edges and angles of a batch. Half precision gains nothing with fewer: it takes more steps.
_WORTHWHILE = 20_000
_SAMPLE = 4096  # crystals on disk, of which the first tell


def resolve_precision(
    precision: str,
    backbone: Backbone,
    crystals: Crystals | Shards,
    batch_size: int,
    device: torch.device,
    *,
    merge: bool = True,
) -> str:
    """Return the precision that an estimator asks for; "auto" takes what is faster.

    Parameters
    ----------
    precision : {"float32", "bf16", "auto"}
    backbone : Backbone
    crystals : Crystals or Shards
        Of the fit.
    batch_size : int
    device : torch.device
    merge : bool, default=True
        As of `Backbone.inputs`.

    Returns
    -------
    {"float32", "bf16"}

    Raises
    ------
    ValueError
        If the back-end has no bf16.
    """
    if precision == "bf16" and not backbone.has_bf16:
        raise ValueError(
            f'precision="bf16": {type(backbone).__name__} computes in float32 only; set '
            'precision="float32", or "auto" for what the back-end can do'
        )
    if precision == "bf16" and not multiplies_bf16(device):
        warn(
            f'precision="bf16": {device} has no instructions for products of bfloat16, and takes '
            'several times as long as with precision="float32"; "auto" asks the device'
        )
    if precision != "auto":
        return precision
    if not backbone.has_bf16 or not multiplies_bf16(device):
        return "float32"
    if isinstance(crystals, Shards):
        crystals = crystals.read(slice(_SAMPLE))
    graphs = backbone.inputs(crystals, merge=merge).graphs
    n_links = 0 if graphs is None else _count_links(graphs)
    return "bf16" if n_links * batch_size > _WORTHWHILE * len(crystals) else "float32"


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for products of bfloat16.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _count_links(graphs: CrystalGraphs | ReducedGraphs) -> int:
    others = getattr(graphs, "others", None)
    return len(graphs.neighbors) + (0 if others is None else len(others))
