"""CHGNet: its size, its physics, and the same network in the chgnet package."""

import numpy as np
import pytest
import torch
from small_potentials import PLAIN, SMALL, build, molecule, outputs, sample
from torch.autograd import gradgradcheck

from skuae import as_crystals
from skuae.models import ElementEmbedding
from skuae.potentials import CHGNet
from skuae.potentials._contract import evaluate
from skuae.potentials._edges import pack_edges
from skuae.potentials._published import _0_2_0, convert, read_published

BOTH = pytest.mark.parametrize("spec", [SMALL, PLAIN], ids=["norms", "plain"])
PUBLISHED_SIZES = [(CHGNet(), 412_525), (_0_2_0, 400_438)]


@pytest.mark.parametrize(("spec", "size"), PUBLISHED_SIZES)
def test_as_many_parameters_as_published(spec, size):
    module = build(spec)
    assert sum(p.numel() for p in module.parameters()) + 94 == size  # 94 reference energies


@BOTH
def test_the_whole_network_has_two_derivatives(spec):
    spec = spec.__class__(**{**spec.get_params(), "dim": 4, "n_radial": 3, "n_angular": 3})
    module = build(spec)
    chain = molecule([0, 0, 0], [2.2, 0.1, 0], [1.0, 2.1, 0.2])
    batch = pack_edges(as_crystals([chain]), spec.cutoff, "cpu", torch.float64).batch([0])
    name = "bond_updates.0.message.first.weight"
    weight = module.get_parameter(name).detach().clone().requires_grad_()

    def energy(vectors, weight):
        found = torch.func.functional_call(module, {name: weight}, (batch, vectors))
        return found.energies.sum() + found.magmoms.square().sum()

    vectors = batch.vectors.clone().requires_grad_()
    assert gradgradcheck(energy, (vectors, weight), fast_mode=True)


def test_a_loss_of_forces_reaches_the_weights():
    module = build()
    found = outputs(module, sample(), create_graph=True)
    (found.forces.square().sum() + found.stresses.square().sum()).backward()
    without = {name for name, p in module.named_parameters() if p.grad is None}
    # The bias of the last layer moves no force; the last angles reach nothing.
    assert {name.rsplit(".", 1)[0] for name in without if "angle" not in name} <= {
        "magmom", "readout.2"
    }  # fmt: skip
    assert all(name.startswith("angle_updates.1.") for name in without if "angle" in name)
    assert module.elements.weight.grad[[11, 7, 13, 25]].abs().min() > 0


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"n_angular": 4}, "n_angular must be odd"),
        ({"cutoff": 0.0}, "cutoff must be a finite number, above 0"),
        ({"bond_cutoff": 7.0}, "bond_cutoff must be at most the cutoff"),
        ({"exponent": 2}, "exponent must be an integer, at least 3"),
        ({"n_blocks": 0}, "n_blocks must be an integer, at least 1"),
        ({"dim": 8.0}, "dim must be an integer"),
        ({"cutoff": 500.0}, "cutoff must be at most"),
        ({"norm": "layer"}, "norm must be True or False"),
    ],
)
def test_senseless_parameters_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        CHGNet(**params).check()


# -- the same network in the chgnet package -------------------------------------------------------


def published(name):
    found = read_published(name)
    module = found.backbone.build(ElementEmbedding(found.elements, frozen=True))
    missing, unexpected = module.load_state_dict(found.weights, strict=False)
    assert (missing, unexpected) == (["elements.weight"], [])
    return found, module.requires_grad_(False)


def predictions_of_the_oracle(name, crystals, monkeypatch):
    """Return predictions in double precision; in single its forces are off by 1.3e-4 eV/Å."""
    pytest.importorskip("chgnet", reason="the chgnet package is the oracle")
    from chgnet.graph import converter, crystalgraph
    from chgnet.model import CHGNet as Theirs

    monkeypatch.setattr(converter, "TORCH_DTYPE", torch.float64)
    monkeypatch.setattr(crystalgraph, "TORCH_DTYPE", torch.float64)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model_name = name.removeprefix("chgnet-")
        oracle = Theirs.load(model_name=model_name, use_device="cpu", verbose=False).double()
        oracle.composition_model.float()  # its input is always of single precision
        return [oracle.predict_structure(structure, task="efsm") for structure in crystals]
    finally:
        torch.set_default_dtype(default)


def compare(name, rows, monkeypatch):
    """Return, in double and in single precision, the largest differences from the oracle.

    These are the differences of energy per atom, forces, stress and moments.
    """
    from skuae.datasets import load_mp_mini

    crystals = load_mp_mini().structures[rows]
    theirs = predictions_of_the_oracle(name, crystals, monkeypatch)
    worst = np.zeros((2, 4))
    for k, dtype in enumerate((torch.float64, torch.float32)):
        found, module = published(name)
        module.to(dtype)
        packed = pack_edges(crystals, found.backbone.cutoff, "cpu", dtype)
        for i, (structure, known) in enumerate(zip(crystals, theirs, strict=True)):
            ours = evaluate(module, packed.batch([i]))
            numbers = np.array(structure.atomic_numbers)
            energy = ours.energies.item() / len(numbers)
            differences = [
                energy + found.reference_energies[numbers - 1].mean() - known["e"],
                ours.forces.numpy() - known["f"],
                ours.stresses[0].numpy() - known["s"],
                ours.magmoms.numpy() - known["m"],
            ]
            worst[k] = np.maximum(worst[k], [np.abs(d).max() for d in differences])
    return worst


# Reference energies are of single precision there, and a constant of the stress has seven digits.
PARITY = [[2e-6, 1e-10, 1e-5, 1e-10], [1e-5, 1e-4, 1e-3, 1e-4]]


@pytest.mark.slow
def test_parity_with_the_published_potential(monkeypatch):
    rows = np.random.default_rng(0).permutation(2573)[:50]
    assert (compare("chgnet-0.3.0", rows, monkeypatch) < PARITY).all()


@pytest.mark.parametrize("name", ["chgnet-0.2.0", "chgnet-r2scan"])
def test_parity_with_other_published_potentials(name, monkeypatch):
    assert (compare(name, [3, 600, 1500], monkeypatch) < PARITY).all()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"no potential 'chgnet-1'; known are chgnet-0\.3\.0"):
        read_published("chgnet-1")


def test_foreign_weights_are_refused():
    with pytest.raises(KeyError):
        convert({}, CHGNet())


def test_the_way_to_the_weights_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"skuae\[chgnet\]"):
        read_published("chgnet-0.3.0")
