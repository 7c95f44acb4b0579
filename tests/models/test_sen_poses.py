"""Poses and presence of the capsules of SEN."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.stats import ortho_group
from sen_networks import build, plain_affine, tensors

from skuae.models._sen import POSES
from skuae.models._sen_layers import affine, invariants


def test_affine_map_of_zeros():
    expected = torch.tensor([[0.01, 0, 0], [0, 0.01, 0]])
    torch.testing.assert_close(affine(torch.zeros(4, 3, 6)), expected.expand(4, 3, 2, 3))


def test_affine_maps():
    pose = torch.randn(5, 6, dtype=torch.float64)
    expected = torch.tensor([plain_affine(p) for p in pose], dtype=torch.float64)
    torch.testing.assert_close(affine(pose).flatten(1), expected)
    assert torch.autograd.gradcheck(affine, (pose.requires_grad_(),))


@pytest.mark.parametrize("pose", POSES)
def test_presence(sample, pose):
    """It adds up to 1, is noisy in training and certain at prediction."""
    spec, module = build(pose=pose)
    batch = tensors(sample[:6], spec)
    first, second = (module.capsule_parts(batch) for _ in range(2))
    assert first.features.shape == (6, 4, 16)
    assert first.pose.shape == ((6, 4, 2, 3) if pose == "affine" else (6, 4, 3, 3))
    torch.testing.assert_close(first.presence.sum(1), torch.ones(6).double())
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    noisy = [module.train().capsule_parts(batch) for _ in range(30)]
    torch.testing.assert_close(noisy[0].presence.sum(1), torch.ones(6).double())
    for parts in noisy:
        assert torch.equal(parts.features, first.features)
        assert torch.equal(parts.pose, first.pose)
        noise = parts.presence.log() - first.presence.log()
        noise = noise - noise.mean(1, keepdim=True)
        assert 1e-3 < noise.abs().max() < 4  # uniform between -2 and 2, less the mean
    assert max((p.presence - first.presence).abs().max() for p in noisy) > 0.1


def turn(structure, matrix):
    return Structure(
        Lattice(structure.lattice.matrix @ matrix), structure.species_and_occu,
        structure.frac_coords,
    )  # fmt: skip


def poses_of(module, structures, spec):
    with torch.no_grad():
        return module.capsule_parts(tensors(structures, spec)).pose


def plain_tensors(module, structure, batch):
    """The tensors of one crystal, bond by bond; the batch has all sites, and bonds by length."""
    with torch.no_grad():
        layers, e = module._perceive(batch)
        a, weights = module.tensors.weights(e), module.capsules(layers[-1], batch)[1]
    p, n_bonds = torch.zeros(4, 3, 3).double(), 0
    for i, around in enumerate(structure.get_all_neighbors(5.0)):
        found, total = torch.zeros_like(p), 0.0
        for bond in around:
            same = (batch.centers == i) & (batch.neighbors == bond.index)
            k = (batch.distances - bond.nn_distance).abs().where(same, torch.inf).argmin()
            r = (bond.coords - structure[i].coords) / bond.nn_distance
            damping = 0.5 + 0.5 * np.cos(np.pi * bond.nn_distance / 5)
            found += damping * a[k, :, None, None] * torch.tensor(np.outer(r, r))
            total += damping
        p += weights[i, :, None, None] * found / total
        n_bonds += len(around)
    return p, n_bonds


def test_tensors_of_bonds_one_by_one(sample):
    """Merged bonds point in several directions, and have the mean of what each of them gives."""
    spec, module = build(pose="tensor")
    structures = [s for s in sample if len(s) < 10][:6]
    merged, n_bonds = tensors(structures, spec), 0
    for found, structure in zip(poses_of(module, structures, spec), structures, strict=True):
        whole = tensors([structure], spec, merge=False)
        expected, n = plain_tensors(module, structure, whole)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * found.abs().max().item())
        n_bonds += n
    assert len(merged.moments) < n_bonds / 5


def test_tensors_turn_with_the_crystal(sample, alloy):
    spec, module = build(pose="tensor")
    structures = [*sample[:20], alloy]
    rng = np.random.default_rng(0)
    turns = [ortho_group.rvs(3, random_state=rng) for _ in structures]
    turned = [turn(s, matrix) for s, matrix in zip(structures, turns, strict=True)]
    p, q = poses_of(module, structures, spec), poses_of(module, turned, spec)
    r = torch.tensor(np.array(turns))[:, None]  # rows are vectors: x' = x R, P' = R^T P R
    scale = p.abs().max().item()
    torch.testing.assert_close(q, r.transpose(2, 3) @ p @ r, rtol=0, atol=1e-5 * scale)
    assert (p - q).abs().max() > 0.01 * scale
    torch.testing.assert_close(p, p.transpose(2, 3))
    torch.testing.assert_close(invariants(q), invariants(p), rtol=0, atol=1e-5 * scale)


def test_invariants():
    p = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    p = p + p.transpose(2, 3)
    found = invariants(p)
    for b in range(2):
        for k in range(3):
            assert found[b, k, 0].item() == pytest.approx(torch.trace(p[b, k]).item())
            for j in range(3):
                expected = torch.trace(p[b, k] @ p[b, j]).item()
                assert found[b, k, 1 + j].item() == pytest.approx(expected)


def test_tensor_of_a_chain():
    """All bonds point along z, so that r r^T has one entry, and so has its mean."""
    spec, module = build(pose="tensor")
    chain = Structure(Lattice.orthorhombic(20, 20, 3.0), ["Fe"], [[0.1, 0.2, 0.3]])
    with torch.no_grad():
        module.tensors.weights.weight.zero_()
        module.tensors.weights.bias.fill_(0.8)
    expected = torch.zeros(4, 3, 3).double()
    expected[:, 2, 2] = 0.8
    torch.testing.assert_close(poses_of(module, [chain], spec)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [1e-2, 3e-4, 1e-5])
def test_damping_up_to_the_cutoff(dtype, gap):
    """The only bonds of a crystal count however close to the cutoff they are: 1/3 on each axis."""
    spec, module = build(pose="tensor")
    cell = Structure(Lattice.cubic(5.0 - gap), ["Cs"], [[0.1, 0.2, 0.3]])
    with torch.no_grad():
        module.to(dtype).tensors.weights.weight.zero_()
        module.tensors.weights.bias.fill_(0.6)
        found = module.capsule_parts(tensors([cell], spec, dtype)).pose[0]
    expected = 0.2 * torch.eye(3, dtype=dtype).expand(4, 3, 3)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def distinct(values):
    """Count eigenvalues that differ by more than a thousandth of the largest."""
    values = values.sort().values
    return 1 + (values.diff() > 1e-3 * values.abs().max()).sum().item()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensors_are_as_symmetric_as_the_crystal(sample):
    """One eigenvalue in cubic crystals, at most two in tetragonal, trigonal and hexagonal ones."""
    spec, module = build(pose="tensor", n_capsules=3)
    system = [SpacegroupAnalyzer(s, 1e-3).get_crystal_system() for s in sample]
    found = {"cubic": [], "uniaxial": [], "other": []}
    for name, of_capsules in zip(system, poses_of(module, sample, spec), strict=True):
        if name in ("tetragonal", "trigonal", "hexagonal"):
            name = "uniaxial"
        kind = name if name in found else "other"
        found[kind] += [distinct(torch.linalg.eigvalsh(p)) for p in of_capsules]
    assert {kind: max(counts) for kind, counts in found.items()} == {
        "cubic": 1, "uniaxial": 2, "other": 3,
    }  # fmt: skip
    assert np.mean(np.array(found["uniaxial"]) == 2) > 0.8
    assert np.mean(np.array(found["other"]) == 3) > 0.5
