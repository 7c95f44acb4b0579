import numpy as np
import pytest
import torch

from skuae import CrystalTransformerRegressor, datasets
from skuae.crystals import PackedTensors
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._sensitivity import scale_by, sensitivity

SMALL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "dim_feedforward": 16, "max_epochs": 1}


@pytest.fixture(scope="module")
def mini():
    return datasets.load_mp_mini(target=["formation_energy_per_atom", "band_gap"])


def fit(mini, **params):
    front_end = CrystalTransformerRegressor(random_state=0, **{**SMALL, **params})
    return front_end.fit(mini.structures[:200], mini.target[:200])


def test_it_is_the_mean_square_change_of_predictions(mini):
    front_end = fit(mini)
    module = front_end.net_.module_.double()
    packed = PackedTensors(mini.structures[:10], device=torch.device("cpu"), dtype=torch.float64)
    loader = CrystalLoader(CrystalDataset(packed, np.arange(10)), 4, shuffle=False, by_size=False)
    found = sensitivity(front_end.net_, loader, [1.0, 2.0])
    v = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step, expected = 1e-5, 0.0
    for batch, _ in loader:
        for site in range(len(batch.numbers)):
            changed = []
            for sign in (1, -1):

                def shift(_, __, out, site=site, sign=sign):
                    out = out.clone()
                    out[site] += sign * step * v
                    return out

                hook = module.elements.register_forward_hook(shift)
                with torch.no_grad():
                    changed.append(module(batch))
                hook.remove()
            slope = (changed[0] - changed[1]).sum(dim=0) / (2 * step)
            size = batch.sizes[batch.crystal[site]]
            expected += float(size * (slope**2 * torch.tensor([1.0, 2.0])).sum()) / 10
    np.testing.assert_allclose(float(v @ torch.tensor(found) @ v), expected, rtol=1e-5)


def test_what_predictions_do_not_depend_on_is_gone():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    direction = np.array([3.0, 0.0, 4.0, 0.0]) / 5
    scaled = scale_by(rows, np.outer(direction, direction))
    assert scaled.std() == pytest.approx(1)
    np.testing.assert_allclose(scaled[:, 1:], 0, atol=1e-7)
    along = (rows - rows.mean(axis=0)) @ direction
    assert abs(np.corrcoef(along, scaled[:, 0])[0, 1]) == pytest.approx(1)


def test_the_table_is_the_networks_own_without_it(mini):
    raw, scaled = (fit(mini, table_scale=scale) for scale in (None, "sensitivity"))
    rows = raw.net_.module_.elements.table().detach().numpy()[raw.network_.elements.seen[:100]]
    np.testing.assert_array_equal(raw.element_table_.values[raw.element_table_.seen], rows)
    np.testing.assert_array_equal(raw.predict(mini.structures[:5]),
                                  scaled.predict(mini.structures[:5]))  # fmt: skip
    values = scaled.element_table_.values[scaled.element_table_.seen]
    spread = values.std(axis=0)
    assert values.std() == pytest.approx(1, rel=1e-5)
    assert spread[0] > 2 * spread[len(spread) // 2]


def test_outputs_count_by_their_weights(mini):
    front_end = fit(mini)
    packed = PackedTensors(mini.structures[:20], device=torch.device("cpu"))
    loader = CrystalLoader(CrystalDataset(packed, np.arange(20)), 8, shuffle=False, by_size=False)
    first, second, both = (sensitivity(front_end.net_, loader, w) for w in ([1, 0], [0, 1], [1, 3]))
    np.testing.assert_allclose(first + 3 * second, both, rtol=1e-4, atol=1e-9)
    assert not np.allclose(first, second, rtol=0.1)


def test_the_weights_are_those_of_the_tasks(mini, monkeypatch):
    seen = []
    name = "skuae.training._learned_input.sensitivity"
    monkeypatch.setattr(name, lambda net, loader, weights: seen.append(list(weights)) or np.eye(8))
    for weights in (None, [1.0, 0.0], np.array([2.0, 1.0])):
        fit(mini, task_weights=weights)
    assert seen == [[1.0, 1.0], [1.0, 0.0], [2.0, 1.0]]


def test_an_unknown_scale(mini):
    with pytest.raises(ValueError, match='table_scale must be "sensitivity" or None'):
        fit(mini, table_scale="raw")
