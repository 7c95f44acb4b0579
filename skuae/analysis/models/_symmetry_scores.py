"""Equality of the environments of equivalent sites, compared with an untrained network."""

import itertools

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from sklearn.utils import Bunch, check_random_state

from skuae.analysis.models._environments import environments_of
from skuae.analysis.models._networks import take_network
from skuae.training import library_defaults, seed_generators, seeded_section

_STATISTICS = ("distance", "ks")
_EQUAL = 1e-3
_TIED = 1e-5  # far more than rounding of environments whose root mean square norm is 1


def symmetry_scores(
    estimator,
    X,
    *,
    statistic="distance",
    control="untrained",
    symprec=0.1,
    n_jobs=None,
    random_state=0,
):
    """Compare the environments of symmetry-equivalent sites and of other sites.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted, with a back-end that `site_environments` takes.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        For a pipeline, what its first step takes.
    statistic : {"distance", "ks"}, default="distance"
        Difference of two environments: their Euclidean distance, in units of the root mean square
        norm of all environments, or the statistic of the two-sample Kolmogorov-Smirnov test on
        their numbers, as in the SEN paper. The latter ignores the order of the numbers: [1, 2, 3]
        and [3, 2, 1] are equal. Numbers that differ by less than 1e-5 of that norm are tied.
    control : {"untrained"} or None, default="untrained"
        Compare with a network of the same architecture and random weights.
    symprec : float, default=0.1
        Tolerance in Å within which sites are equivalent.
    n_jobs : int, optional
        Processes that look for symmetry.
    random_state : int, RandomState instance or None, default=0
        Draws the weights of the control.

    Returns
    -------
    found : Bunch
        With the fields

        - ``scores`` : DataFrame with one row per crystal and the columns ``orbits`` (kinds of
          equivalent sites), ``within`` (the largest difference between equivalent sites; NaN
          where there are none), and ``between`` (the smallest one between sites of one element
          that are not equivalent; NaN where there are none).
        - ``control`` : DataFrame like it of the untrained network, or None.
        - ``summary`` : DataFrame with the rows ``"trained"`` and, with a control,
          ``"untrained"``: ``equal``, the share of crystals with ``within`` below 0.001, and
          ``apart``, the share with ``between`` above 0.001, each of the crystals that have one;
          NaN where none has.

    Raises
    ------
    ValueError
        If an argument is none of these, or the back-end has no vectors of sites.

    Notes
    -----
    A network that reads distances to whole shells of neighbours *must* have equal environments for
    equivalent sites, trained or not (CGCNN cuts the last shell unless `whole_shell`). Equality is
    no evidence of learning: look at the control. Sites are not merged here, since merged sites are
    equal by construction.

    References
    ----------
    C. Liang et al., Nat. Commun. 14, 5198 (2023).

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor
    >>> from skuae.analysis import symmetry_scores
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> gnn = CrystalGNNRegressor("megnet", max_epochs=1, random_state=0)
    >>> found = symmetry_scores(gnn.fit(toy.structures, toy.target), toy.structures)
    >>> list(found.scores)
    ['orbits', 'within', 'between']
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(_STATISTICS)}; got {statistic!r}")
    if control not in ("untrained", None):
        raise ValueError(f'control must be "untrained" or None; got {control!r}')
    with library_defaults():
        estimator, crystals = take_network(estimator, X)
        orbits = crystals.symmetry(symprec, n_jobs=n_jobs).orbits
        module = estimator.net_.module_
        scores = _scores(estimator, module, crystals, orbits, statistic)
        summary = {"trained": _summary(scores)}
        other = None
        if control is not None:
            other = _scores(
                estimator, _untrained(estimator, random_state), crystals, orbits, statistic
            )
            summary["untrained"] = _summary(other)
    return Bunch(scores=scores, control=other, summary=pd.DataFrame(summary).T)


def _untrained(estimator, random_state):
    """Return a network of the same architecture with random weights."""
    cpu = torch.device("cpu")
    with seeded_section(cpu):
        seed_generators(check_random_state(random_state).randint(2**31 - 1), cpu)
        module = estimator.network_.build(estimator.task_.n_outputs)
    return module.to(estimator.device_).eval()


def _scores(estimator, module, crystals, orbits, statistic):
    """Return orbits, within and between of each crystal."""
    vectors = environments_of(estimator, module, crystals).astype(np.float64)
    vectors /= max(np.sqrt((vectors**2).sum(axis=1).mean()), 1e-300)
    rows = [
        _score(vectors[a:b], orbits[a:b], crystals.numbers[a:b], statistic)
        for a, b in itertools.pairwise(crystals.offsets)
    ]
    return pd.DataFrame(rows, columns=["orbits", "within", "between"])


def _score(vectors, orbits, numbers, statistic):
    firsts = np.unique(orbits)
    within = [
        _apart(vectors[orbits == first], statistic).max()
        for first in firsts
        if (orbits == first).sum() > 1
    ]
    between = []
    for number in np.unique(numbers[firsts]):
        of_element = firsts[numbers[firsts] == number]
        if len(of_element) > 1:
            differences = _apart(vectors[of_element], statistic)
            between.append(differences[np.triu_indices(len(of_element), 1)].min())
    return len(firsts), max(within, default=np.nan), min(between, default=np.nan)


def _apart(vectors, statistic):
    """Return the differences of all pairs, (n, n)."""
    if statistic == "distance":
        return cdist(vectors, vectors)
    vectors = np.sort(vectors, axis=1)
    found = np.zeros((len(vectors),) * 2)
    for i, j in itertools.permutations(range(len(vectors)), 2):
        found[i, j] = _excess(vectors[i], vectors[j])
    return np.maximum(found, found.T)


def _excess(a, b):
    """Return the most by which the distribution of one sorted sample lies above that of another.

    The larger of both directions is the statistic of Kolmogorov and Smirnov. Numbers that differ by
    rounding are tied: which of them is larger must not count.
    """
    below = np.searchsorted(b, a + _TIED, side="right")
    return max(0.0, float(np.max(np.arange(1, len(a) + 1) / len(a) - below / len(b))))


def _summary(scores):
    """Return shares of the crystals that have such sites."""
    within, between = scores["within"].dropna(), scores["between"].dropna()
    return {"equal": (within < _EQUAL).mean(), "apart": (between > _EQUAL).mean()}
