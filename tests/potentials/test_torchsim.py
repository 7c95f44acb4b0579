"""Potentials as models of TorchSim: the same numbers, relaxations and dynamics."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from small_potentials import SMALL, THREE_BODY, build, sample

from skuae.potentials import CrystalPotential
from skuae.potentials._contract import GPA

torch_sim = pytest.importorskip(
    "torch_sim",
    reason='needs TorchSim and Python 3.12: pip install "skuae[torchsim]"',
    exc_type=ImportError,
)
X = sample()


def fitted(spec):
    """Return a potential with random weights of double precision."""
    model = CrystalPotential(spec, max_epochs=1, dtype="float64", device="cpu", random_state=0)
    model.fit(X, [{"energy": -4.0 * len(crystal)} for crystal in X])
    model.fitted_.module.load_state_dict(build(spec).state_dict())
    return model


@pytest.fixture(scope="module", params=[SMALL, THREE_BODY], ids=["chgnet", "m3gnet"])
def potential(request):
    return fitted(request.param)


def test_same_numbers_on_a_batch(potential):
    model = potential.to_torchsim()
    found = model(torch_sim.initialize_state(X, model.device, model.dtype))
    expected = potential.predict_all(X)
    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(found["energy"], expected["energy"], **close)
    np.testing.assert_allclose(found["forces"], np.concatenate(expected["forces"]), **close)
    np.testing.assert_allclose(found["stress"] * GPA, np.stack(expected["stress"]), **close)


def test_the_contract_of_torchsim_holds_for_crystals(potential):
    from torch_sim.models.interface import validate_model_outputs

    model = potential.to_torchsim()
    with pytest.raises(ValueError, match="not periodic in all three directions"):  # at its end
        validate_model_outputs(model, model.device, model.dtype)


def test_crystals_are_relaxed(potential):
    model = potential.to_torchsim()
    state = torch_sim.optimize(
        X, model, optimizer=torch_sim.Optimizer.fire, max_steps=30,
        init_kwargs={"cell_filter": torch_sim.CellFilter.frechet},
    )  # fmt: skip
    assert (state.energy.numpy() < potential.predict(X)).all()
    np.testing.assert_allclose(potential.predict(state.to_structures()), state.energy, rtol=1e-8)


def test_dynamics_keep_the_energy():
    potential = fitted(SMALL)
    run = {"integrator": torch_sim.Integrator.nve, "temperature": 600.0, "timestep": 0.001}
    totals, kinetic = [], []
    for n_steps in (1, 40):
        torch.manual_seed(0)
        state = torch_sim.integrate(X, potential.to_torchsim(), n_steps=n_steps, **run)
        moving = torch.zeros(len(X), dtype=torch.float64).index_add(
            0, state.system_idx, state.momenta.square().sum(1) / (2 * state.masses)
        )
        kinetic.append(moving)
        totals.append(state.energy + moving)
    change, drift = (kinetic[1] - kinetic[0]).abs(), (totals[1] - totals[0]).abs()
    assert (change[:2] > 1e-4).all() and (drift < 0.02 * change.max()).all()


def test_elements_that_were_not_trained_on_are_refused():
    model = fitted(SMALL).to_torchsim()
    caesium = Structure(Lattice.cubic(4.0), ["Cs"], [[0.0, 0.0, 0.0]])
    state = torch_sim.initialize_state([X[1], caesium], model.device, model.dtype)
    with pytest.raises(ValueError, match="row 1: the potential was not trained on Cs"):
        model(state)
