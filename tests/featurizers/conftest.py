import pytest

from skuae import CrystalGNNRegressor, models
from skuae.datasets import make_toy_crystals


@pytest.fixture(scope="session")
def toy():
    return make_toy_crystals(24, prototypes=("rocksalt", "perovskite"), random_state=0)


@pytest.fixture(scope="session")
def network(toy):
    backbone = models.CGCNN(atom_dim=8, n_conv=2, hidden_dim=4, cutoff=5.0, max_neighbors=6)
    gnn = CrystalGNNRegressor(backbone, max_epochs=2, batch_size=8, random_state=0, device="cpu")
    return gnn.fit(toy.structures, toy.target)
