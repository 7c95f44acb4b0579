"""M3GNet: its size, its equations written out, and the same network in the matgl package."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import eval_legendre, spherical_jn
from small_potentials import THREE_BODY, build, molecule, outputs, sample
from small_springs import dimers
from torch.autograd import gradgradcheck

from skuae import as_crystals
from skuae.featurizers import PotentialTransformer
from skuae.models import ElementEmbedding
from skuae.potentials import CrystalPotential, M3GNet
from skuae.potentials._bessel import SmoothBessel, bessel_zeros
from skuae.potentials._edges import find_edges, pack_edges

_OF_MATGL = {"smooth": False, "edge_bias": True, "activated_weights": False}
MATGL = M3GNet(n_layers=3, n_readout=3, **_OF_MATGL)
SMALL_MATGL = M3GNet(6, 2, max_n=2, n_layers=3, n_readout=3, **_OF_MATGL)
X, Y = dimers()
PUBLISHED_SIZES = [(M3GNet(), 95, 227_549), (MATGL, 89, 288_157)]


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "n_rows", "size"), [(M3GNet(), 95, 227_549), (MATGL, 89, 288_157)]
)
def test_as_many_parameters_as_published(spec, n_rows, size):
    module = spec.build(ElementEmbedding(torch.zeros(n_rows, 64), frozen=False))
    assert sum(p.numel() for p in module.parameters()) == size


# -- the equations, written out edge by edge and angle by angle -----------------------------------


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def arrays(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def gated(w, name, x, n_layers):
    """Return the core times the gate of all layers, from the inputs side by side."""
    core, gate = np.split(w[f"{name}.first.weight"] @ x + w[f"{name}.first.bias"], 2)
    for i in range(n_layers - 1):
        place = f"_between.{i}" if i < n_layers - 2 else ""
        core, gate = (
            w[f"{name}.{kind}{place}.weight"] @ silu(part) + w[f"{name}.{kind}{place}.bias"]
            for kind, part in (("core", core), ("gate", gate))
        )
    return silu(core) * sigmoid(gate)


def bessel(spec, r):
    zeros = bessel_zeros(spec.max_l, spec.max_n)
    return np.array([
        math.sqrt(2 / spec.cutoff**3) / abs(spherical_jn(order + 1, z))
        * spherical_jn(order, z * r / spec.cutoff)
        for order, row in enumerate(zeros) for z in row
    ])  # fmt: skip


def end(spec, r):
    x = r / spec.bond_cutoff
    return 1 - 10 * x**3 + 15 * x**4 - 6 * x**5 if x < 1 else 0.0


def energies_by_hand(spec, module, structure):
    w, crystals = arrays(module), as_crystals([structure])
    found = find_edges(crystals, spec.cutoff)
    centers = np.repeat(np.arange(len(structure)), np.diff(found.edge_offsets))
    neighbors, lengths = found.neighbors, np.linalg.norm(found.vectors, axis=1)
    if spec.smooth:
        basis = SmoothBessel(spec.max_n, spec.cutoff)(torch.tensor(lengths)).numpy()
    else:
        basis = np.array([bessel(spec, r) for r in lengths])
    x = w["elements.weight"][crystals.numbers.astype(int) - 1]
    bias = w["edge_embedding.bias"] if spec.edge_bias else 0.0
    edges = silu(basis @ w["edge_embedding.weight"].T + bias)
    for i in range(spec.n_blocks):
        gains = np.zeros_like(edges)
        for j, r in enumerate(lengths):
            total = np.zeros(spec.max_n * spec.max_l)
            for k, other in enumerate(lengths):
                if k == j or centers[k] != centers[j] or max(r, other) >= spec.bond_cutoff:
                    continue
                cosine = found.vectors[j] @ found.vectors[k] / r / other
                angular = [
                    math.sqrt((2 * order + 1) / (4 * math.pi)) * eval_legendre(order, cosine)
                    for order in range(spec.max_l)
                ]
                site = w[f"three_body.{i}.site.weight"] @ x[neighbors[k]]
                gate = sigmoid(site + w[f"three_body.{i}.site.bias"])
                function = bessel(spec, other) * np.repeat(angular, spec.max_n)
                total = total + function * gate * end(spec, r) * end(spec, other)
            core, gate = np.split(w[f"three_body.{i}.bond.weight"] @ total, 2)
            gains[j] = silu(core) * sigmoid(gate)
        edges = edges + gains
        name = f"updates.{i}"
        inputs = [np.concatenate([x[c], x[n], e]) for c, n, e in zip(centers, neighbors, edges,
                                                                    strict=True)]  # fmt: skip
        edges = edges + np.array(
            [gated(w, f"{name}.edge_gate", v, spec.n_layers) for v in inputs]
        ) * (basis @ w[f"{name}.edge_weights.weight"].T)
        weights = basis @ w[f"{name}.site_weights.weight"].T
        weights = silu(weights) if spec.activated_weights else weights
        inputs = np.concatenate([x[centers], x[neighbors], edges], axis=1)
        x = x.copy()
        for center, row, weight in zip(centers, inputs, weights, strict=True):
            x[center] += gated(w, f"{name}.site_gate", row, spec.n_layers) * weight
    parts = []
    for kind in ("core", "gate"):
        h = x
        for i in range(spec.n_readout):
            name = f"readout.{kind}.{i}.0"
            h = silu(h @ w[f"{name}.weight"].T + w[f"{name}.bias"])
        name = f"readout.{kind}.{spec.n_readout}"
        parts.append(h @ w[f"{name}.weight"].T + w[f"{name}.bias"])
    return (parts[0] * sigmoid(parts[1])).sum()


@pytest.mark.parametrize("spec", [THREE_BODY, SMALL_MATGL], ids=["original", "matgl"])
def test_energies_are_those_of_the_equations(spec):
    module = build(spec)
    for structure in sample()[1:]:
        ours = outputs(module, [structure], spec, derivatives=False).energies.item()
        assert ours == pytest.approx(energies_by_hand(spec, module, structure), rel=1e-9)


def test_angles_count():
    """The tests of slopes and symmetry say nothing of angles that have no weight."""
    structures = sample()
    module = build(THREE_BODY)
    found = outputs(module, structures, THREE_BODY)
    with torch.no_grad():
        for three_body in module.three_body:
            three_body.bond.weight.zero_()
    without = outputs(module, structures, THREE_BODY)
    assert (found.energies - without.energies).abs().min() > 1e-3
    assert (found.forces - without.forces).abs().max() > 1e-2
    bent, straight = (
        molecule([0, 0, 0], [2.2, 0, 0], [2.2 * math.cos(a), 2.2 * math.sin(a), 0])
        for a in (2.0, 3.0)  # the ends are farther from each other than angles reach
    )
    spec = M3GNet(**{**THREE_BODY.get_params(), "cutoff": 3.0, "bond_cutoff": 3.0})
    one, other = (
        outputs(build(spec), [three], spec, derivatives=False).energies
        for three in (bent, straight)
    )
    assert abs(one - other) > 1e-4


# -- the same network in matgl --------------------------------------------------------------------


def filled(spec):
    """Return the network with weights that a formula gives."""
    module = spec.build(ElementEmbedding(torch.zeros(94, spec.dim), frozen=False)).double()
    with torch.no_grad():
        for place, (name, weight) in enumerate(sorted(module.named_parameters())):
            i = torch.arange(weight.numel(), dtype=torch.float64)
            scale = 1.0 if weight.ndim == 1 else 2 / math.sqrt(weight.shape[1])
            scale *= 30 if name.startswith("three_body") and ".bond." in name else 1
            weight.copy_(scale * torch.sin(1.0 + place + 1.7 * i).view(weight.shape))
    return module


# M3GNet of matgl 4.1.2 with these weights, in double precision; its zeros of the spherical Bessel
# functions are rounded to seven digits.
OF_MATGL = [-11.072521420808817, -1.1250637808745734, -0.8763702146427106]
FORCES_OF_MATGL = [
    [0.06065337516909246, 0.016222603240408244, -0.09946872133034329],
    [0.04141254783537393, 0.044887504000999126, -0.0752885745500652],
]


def test_parity_with_matgl():
    found = outputs(filled(SMALL_MATGL), sample(), SMALL_MATGL)
    np.testing.assert_allclose(found.energies, OF_MATGL, rtol=3e-7)
    np.testing.assert_allclose(found.forces[:2], FORCES_OF_MATGL, rtol=0, atol=1e-6)


# -- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["three_body.0.bond.weight", "updates.0.site_gate.first.weight"])
def test_the_whole_network_has_two_derivatives(name):
    spec = M3GNet(dim=4, n_blocks=2, max_n=2, n_readout=1)
    module = build(spec)
    chain = molecule([0, 0, 0], [2.2, 0.1, 0], [1.0, 2.1, 0.2])
    batch = pack_edges(as_crystals([chain]), spec.cutoff, "cpu", torch.float64).batch([0])
    weight = module.get_parameter(name).detach().clone().requires_grad_()

    def energy(vectors, weight):
        found = torch.func.functional_call(module, {name: weight}, (batch, vectors))
        return found.energies.sum()

    vectors = batch.vectors.clone().requires_grad_()
    assert gradgradcheck(energy, (vectors, weight), fast_mode=True)


def test_a_loss_of_forces_reaches_the_weights():
    module = build(THREE_BODY)
    found = outputs(module, sample(), THREE_BODY, create_graph=True)
    (found.forces.square().sum() + found.stresses.square().sum()).backward()
    without = [name for name, p in module.named_parameters() if p.grad is None]
    assert without == []
    assert module.elements.weight.grad[[11, 7, 13, 25]].abs().min() > 0


def test_straight_angles_have_finite_derivatives():
    line = molecule([0, 0, 0], [2.2, 0, 0], [4.4, 0, 0])
    module = build(THREE_BODY)
    found = outputs(module, [line], THREE_BODY, create_graph=True)
    found.forces.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_forces_jump_without_smooth_functions():
    jumps = []
    for smooth in (True, False):
        spec = M3GNet(**{**THREE_BODY.get_params(), "smooth": smooth})
        module = build(spec)
        near, far = (
            outputs(module, [molecule([0, 0, 0], [5.0 + step, 0, 0], [0, 2, 0])], spec).forces
            for step in (-1e-5, 1e-5)
        )
        jumps.append((near - far).abs().max().item())
    assert jumps[0] < 1e-5 < 1e-3 < jumps[1]


# -- as an estimator ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    spec = M3GNet(dim=8, n_blocks=2, max_n=2, n_readout=1, cutoff=4.0, bond_cutoff=3.0)
    return CrystalPotential(spec, max_epochs=30, batch_size=4, lr=1e-2, random_state=0).fit(X, Y)


def test_a_spring_is_learned(fitted):
    errors = fitted.evaluate(X, Y)["forces MAE (eV/Å)"]
    assert errors["model"] < 0.5 * errors["constant"]


def test_files(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    read = CrystalPotential.from_pretrained(tmp_path, device="cpu")
    assert isinstance(read.backbone, M3GNet)
    pd.testing.assert_frame_equal(read.predict_all(X), fitted.predict_all(X))
    on = CrystalPotential(read.backbone, init_from=tmp_path, max_epochs=1, random_state=0)
    assert on.fit(X, Y).history_
    with pytest.raises(ValueError, match=r"init_from has backbone M3GNet.*this potential CHGNet"):
        CrystalPotential(init_from=tmp_path).fit(X, Y)


def test_names_tables_and_moments():
    rows = [{**row, "magmoms": np.ones(2)} for row in Y]
    spec = M3GNet(dim=8, n_blocks=1, max_n=2, n_readout=0)
    params = {"max_epochs": 1, "random_state": 0}
    plain, more = (CrystalPotential(spec, **params).fit(X, y) for y in (Y, rows))
    assert plain.history_[0]["train_loss"] == more.history_[0]["train_loss"]
    assert "magmoms" not in more.predict_all(X)
    assert np.isnan(more.evaluate(X, rows).loc["model", "magmoms MAE (μB)"])
    with pytest.raises(ValueError, match="y has no known label with a weight"):
        CrystalPotential(spec).fit(X, [{"magmoms": np.ones(2)}] * len(X))
    table = CrystalPotential(spec, embedding="magpie", freeze_embedding=True, **params).fit(X, Y)
    assert table.fitted_.module.embedding.weight.shape[0] == 8
    assert CrystalPotential("m3gnet", **params).fit(X[:2], Y[:2]).predict(X[:1]).shape == (1,)


def test_features_and_calculator(fitted):
    features = PotentialTransformer(fitted, statistics=("mean",)).fit(X)
    assert features.transform(X).shape == (12, 8)
    assert features.feature_labels()[0] == "m3gnet_mean_0"
    assert "chen2022" in features.citations()[0]
    sites = torch.tensor(np.concatenate(fitted.site_features(X)))
    with torch.no_grad():
        energies = fitted.fitted_.module.readout(sites)[:, 0].view(-1, 2).sum(1)
    expected = fitted.predict(X) - fitted.fitted_.energies_of_elements(X)
    np.testing.assert_allclose(energies, expected, rtol=1e-4, atol=1e-5)
    ase = pytest.importorskip("pymatgen.io.ase")
    atoms = ase.AseAtomsAdaptor.get_atoms(X[1])
    atoms.calc = fitted.calculator()
    np.testing.assert_allclose(atoms.get_forces(), fitted.predict_forces(X[1:2])[0], atol=1e-5)
    assert fitted.relax(X[:2], max_steps=2).table["n_steps"].max() <= 2


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_l": 7}, "max_l must be at most 6"),
        ({"max_n": 65}, "max_n must be at most 64"),
        ({"max_n": 0}, "max_n must be an integer, at least 1"),
        ({"n_layers": 0}, "n_layers must be an integer, at least 1"),
        ({"bond_cutoff": 6.0}, "bond_cutoff must be at most the cutoff"),
        ({"smooth": 1}, "smooth must be True or False"),
    ],
)
def test_senseless_parameters_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        M3GNet(**params).check()
