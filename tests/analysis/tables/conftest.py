import numpy as np
import pytest

from skuae.embedding import ElementTable


@pytest.fixture(scope="session")
def blobs():
    """Three groups of 20 elements, far apart in 8 dimensions, not sorted; and which is whose."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat([0, 1, 2], 20))
    rows = 20 * np.eye(8)[truth] + rng.normal(size=(60, 8))
    return ElementTable(rows, range(3, 63), name="blobs"), truth
