"""GatedGCN is ALIGNN without angles."""

import numpy as np
import pytest
import torch

from skuae.datasets import load_mp_mini
from skuae.models import ALIGNN, ElementEmbedding, GatedGCN


def build(spec, n_outputs=1):
    torch.manual_seed(0)
    return spec.build(ElementEmbedding(torch.randn(118, 92), frozen=True), n_outputs)


def test_number_of_parameters():
    d, hidden, bins = 128, 64, 80
    layers = (92 * d + 3 * d) + (bins * hidden + 3 * hidden) + (hidden * d + 3 * d)
    convs = 5 * (5 * (d * d + d) + 2 * 2 * d)
    assert sum(p.numel() for p in build(GatedGCN()).parameters()) == layers + convs + d + 1
    assert layers + convs + d + 1 == 441_537


def test_is_alignn_without_angles():
    gated = GatedGCN(16, 2, 8, cutoff=6.0, max_neighbors=8, whole_shell=False)
    alignn = ALIGNN(16, 0, 2, 8, cutoff=6.0, max_neighbors=8, whole_shell=False)
    crystals = load_mp_mini().structures[:20]
    outputs = []
    for spec in (gated, alignn):
        inputs = spec.inputs(crystals)
        assert not hasattr(inputs.graphs, "cosines") or inputs.graphs.cosines is None
        outputs.append(build(spec)(inputs.pack(crystals).batch(np.arange(20))))
    assert torch.equal(*outputs)


def test_all_parameters_are_trained():
    """All but the bonds' after the last layer, which nobody reads."""
    crystals = load_mp_mini().structures[:8]
    spec = GatedGCN(8, 2)
    module = build(spec)
    module(spec.inputs(crystals).pack(crystals).batch(np.arange(8))).sum().backward()
    idle = {name for name, p in module.named_parameters() if p.grad is None}
    assert all(name.startswith("bond_convs.1.") for name in idle)
    assert len(idle) <= 4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_layers": 0}, "n_layers must be an integer, at least 1"),
        ({"hidden_dim": 0}, "hidden_dim must be an integer, at least 1"),
        ({"cutoff": 9.0}, "cutoff must be at most 8.0 Å"),
    ],
)
def test_parameters_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        GatedGCN(**params).check()
