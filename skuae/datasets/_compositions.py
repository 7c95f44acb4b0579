"""Groups of crystals with equal compositions."""

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

_NEAR = 1e-3 + 1e-9  # of atomic fractions, where sources rounded occupancies


def label_compositions(*sets):
    """Label compositions: crystals with equal labels have equal compositions.

    Returns
    -------
    coarse, exact : tuple of ndarray
        Labels of the crystals of each set. A quotient of integers is rounded correctly, so that
        ordered crystals of one reduced formula have bitwise the same fractions. Coarse labels are
        equal, too, where the fractions are near and one of the two crystals is disordered, and
        along chains of such pairs.
    """
    keys, systems, shares = [], [], []
    for crystals in sets:
        rows, numbers, amounts = crystals.composition()
        fractions = amounts / np.bincount(rows, amounts)[rows]
        both = np.column_stack([numbers, fractions])
        bounds = np.searchsorted(rows, np.arange(len(crystals) + 1)).tolist()
        for i, j in pairwise(bounds):
            keys.append(both[i:j].tobytes())
            systems.append(numbers[i:j].tobytes())
            shares.append(fractions[i:j])
    _, first, exact = np.unique(
        np.array(keys, dtype=object), return_index=True, return_inverse=True
    )
    disordered = np.zeros(len(first), dtype=bool)
    disordered[exact[np.concatenate([crystals.is_disordered for crystals in sets])]] = True

    of_system: dict[bytes, list[int]]
    of_system = {systems[row]: [] for row in first[disordered]}
    for label, row in enumerate(first):
        if systems[row] in of_system:
            of_system[systems[row]].append(label)
    links = [np.empty((0, 2), dtype=np.int64)]
    for labels in map(np.array, of_system.values()):
        tree = KDTree([shares[row] for row in first[labels]])
        links.append(labels[tree.query_pairs(_NEAR, p=np.inf, output_type="ndarray")])
    left, right = np.concatenate(links).T
    linked = disordered[left] | disordered[right]
    graph = coo_array((linked, (left, right)), shape=(len(first), len(first)))
    coarse = connected_components(graph, directed=False)[1][exact]

    ends = np.cumsum([len(crystals) for crystals in sets])[:-1]
    return tuple(np.split(coarse, ends)), tuple(np.split(exact, ends))
