import hashlib

import numpy as np
import pytest

from skuae.embedding import get_table


def test_cgcnn_is_atom_init_bit_for_bit():
    table = get_table("cgcnn")
    bits = table.values[table.seen]
    assert bits.shape == (100, 92)
    assert bits.sum() == 850
    digest = hashlib.sha256(bits.astype(np.uint8).tobytes()).hexdigest()
    assert digest == "9ecb6fb85c41291d8eeb69c2138769957bb432172952af43f1c8ac7a5af2dbb4"


@pytest.mark.parametrize(
    ("symbol", "ones"),
    [
        ("H", [1, 19, 30, 36, 46, 64, 73, 78, 86]),
        ("Fe", [8, 22, 29, 40, 53, 61, 72, 80, 83]),
    ],
)
def test_cgcnn_rows(symbol, ones):
    assert np.flatnonzero(get_table("cgcnn")[symbol]).tolist() == ones


def test_cgcnn_column_names():
    table = get_table("cgcnn")
    names = [table.columns[i] for i in np.flatnonzero(table["Fe"])]
    assert names[:3] == ["group_8", "period_3", "electronegativity_3"]
    assert names[7] == "block_2"


def test_cgcnn_elements_that_share_a_row():
    table = get_table("cgcnn")
    groups = {}
    for symbol in table.symbols:
        groups.setdefault(table[symbol].tobytes(), []).append(symbol)
    shared = [group for group in groups.values() if len(group) > 1]
    assert shared == [
        ["La", "Ce"], ["Sm", "Gd"], ["Ho", "Er"], ["Th", "Np"], ["Am", "Cm"],
        ["Bk", "Cf", "Es", "Fm"],
    ]  # fmt: skip


def test_onehot():
    table = get_table("onehot")
    np.testing.assert_array_equal(table.values[:100], np.eye(100))
    assert table.seen.tolist() == [True] * 100 + [False] * 18


@pytest.mark.parametrize(("name", "n_dims"), [("random", 128), ("random16", 16)])
def test_random_is_standard_normal_and_pinned(name, n_dims):
    table = get_table(name)
    assert table.name == name
    assert table.seen.all()
    assert table.n_dims == n_dims
    assert abs(table.values.mean()) < 3 / (118 * n_dims) ** 0.5
    assert abs(table.values.std() - 1) < 3 / (2 * 118 * n_dims) ** 0.5
    np.testing.assert_allclose(table["H"][:3], [0.30471709, -1.03998411, 0.7504512], rtol=1e-6)
