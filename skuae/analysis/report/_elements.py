"""Sections of a report that need the element vectors only."""

import numpy as np
import pandas as pd
from pymatgen.core import Element
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_random_state

from skuae.analysis._inputs import vectors
from skuae.analysis.report._parts import Section, count_of, listing, number, percent, span
from skuae.analysis.tables import (
    CONTROLS,
    ClusterCurveDisplay,
    ElementMapDisplay,
    PeriodicTableDisplay,
    SimilarityDisplay,
    cluster_elements,
    element_properties,
    make_control,
    principal,
    published_class,
    unit_ranks,
)
from skuae.embedding import ElementTable

_N_DRAWS = 200
_FAMILIAR = "H Li C N O F Na Al Si P S Cl K Ca Ti Cr Fe Cu Zn Br Ag La Gd Pt Pb U".split()


def cluster_section(table, space, n_seeds, random_state, n_jobs):
    """Compare classes of elements with those of random controls.

    Parameters
    ----------
    table : ElementTable
    space : {"umap", "pca", "table"}
    n_seeds : int
    random_state : int
    n_jobs : int or None

    Returns
    -------
    section : Section
    labels : Series of int
        Class by symbol.
    """
    found = cluster_elements(
        table, space=space, n_seeds=n_seeds, random_state=random_state, n_jobs=n_jobs
    )
    section = Section("clusters", "Classes of elements")
    k, where = found.n_clusters, _where(space)
    means = found.curves.groupby(["data", "k"], sort=False)[["silhouette", "silhouette_table"]]
    means = means.mean()
    best = {kind: int(means.loc[kind]["silhouette"].idxmax()) for kind in ("table", *CONTROLS)}
    same = [_name(kind) for kind in CONTROLS if best[kind] == k]
    section.say(
        f"By silhouette the best number of classes in the {where} is {k} "
        f"({means.loc[('table', k), 'silhouette']:.2f}), by the elbow {found.k_elbow}.",
        "Tables without classes have their best at "
        + listing(
            f"{best[kind]} ({_name(kind)}, {means.loc[(kind, best[kind]), 'silhouette']:.2f})"
            for kind in CONTROLS
        )
        + ".",
        f"That {k} is best comes out with {listing(same)}, too: it is no evidence of classes."
        if same
        else "",
    )
    at_k = found.curves[found.curves["k"] == k]
    full = at_k.groupby("data")["silhouette_table"]
    mine, highest = full.mean()["table"], full.max().drop("table").max()
    section.say(
        f"In the full table these classes have a silhouette of {number(mine, 3)}, classes of noise "
        f"{span(full.mean().drop('table'), 3)} on average and {number(highest, 3)} at most:",
        "the classes are tighter than any found in noise."
        if mine > highest
        else "that is no more than noise gives.",
    )
    rng = check_random_state(random_state)
    labels = found.labels
    agreements = []
    for name, other in (("the blocks s, p, d and f", _blocks(labels.index)),
                        ("the published classes A, B and C",
                         [published_class(s) for s in labels.index])):  # fmt: skip
        value = adjusted_rand_score(other, labels)
        null = max(adjusted_rand_score(other, rng.permutation(labels)) for _ in range(_N_DRAWS))
        agreements.append(f"{number(value)} with {name} (shuffled, at most {number(null)})")
    off = found.ari.to_numpy()[~np.eye(n_seeds, dtype=bool)]
    section.say(
        f"Seeds agree among themselves with an adjusted Rand index of {off.mean():.2f} on average "
        f"and {off.min():.2f} at least; {(found.stability == 1).sum()} of {len(labels)} elements "
        "are in one class for all of them."
        if n_seeds > 1
        else "",
        f"The classes agree {listing(agreements)}; 1 is the same, 0 is chance.",
    )
    n_classes = f"{k} classes of k-means in the {where}"
    section.draw("element_map", ElementMapDisplay.from_clusters(found).plot(), f"{n_classes}.")
    section.draw(
        "cluster_curves",
        ClusterCurveDisplay.from_clusters(found).plot(),
        "Elbow and silhouettes beside those of tables without classes: means over seeds, shaded by "
        "one standard deviation.",
    )
    frame = pd.concat([labels, found.stability, found.coordinates], axis=1)
    section.keep("clusters", frame)
    section.keep("cluster_curves", found.curves.set_index(["data", "seed", "k"]))
    return section, labels


def tree_section(table, labels, random_state):
    """Show the similarity of all elements in the order of a tree.

    Parameters
    ----------
    table : ElementTable
    labels : Series of int
        Class by symbol.
    random_state : int

    Returns
    -------
    Section
    """
    section = Section("tree", "Similarity of all elements")
    even = centre(table)
    display = SimilarityDisplay.from_table(even)
    mine = _cophenetic(vectors(even))
    if mine is None:
        section.say("All elements are equally far from each other, and no tree tells them apart.")
    else:
        k = labels.nunique()
        cut = hierarchy.fcluster(display.linkage, k, criterion="maxclust")
        section.say(
            f"The tree, cut into {count_of(len(np.unique(cut)), 'group')}, agrees with the {k} "
            "classes of k-means with an adjusted Rand index of "
            f"{number(adjusted_rand_score(labels, cut))}; the groups have "
            f"{listing(sorted(np.bincount(cut)[1:], reverse=True))} elements."
        )
        rng = check_random_state(random_state)
        null = [_cophenetic(make_control(vectors(even), "permuted", rng)) or 0.0 for _ in range(20)]
        section.say(
            f"Distances along the tree correlate with those of the vectors at {number(mine)}; with "
            f"the columns permuted, {span(null)}:",
            "there is more of a tree than in noise."
            if mine > max(null)
            else "noise fits into a tree as well.",
        )
    section.draw(
        "similarity",
        display.plot(),
        "Cosine of the vectors, their mean taken out, and the tree of average linkage.",
    )
    section.keep("similarity", display.matrix)
    return section


def periodic_section(table, labels, random_state):
    """Show classes, and the main direction of the table, on the periodic table.

    Parameters
    ----------
    table : ElementTable
    labels : Series of int
        Class by symbol.
    random_state : int

    Returns
    -------
    Section
    """
    section = Section("periodic", "On the periodic table")
    rows = vectors(table)
    points, shares = principal(rows, 1)
    first = pd.Series(points[:, 0], pd.Index(table.symbols, name="element"), name="PC 1")
    null = [principal(make_control(rows, "permuted", s), 1)[1][0]
            for s in range(random_state, random_state + 20)]  # fmt: skip
    section.say(
        f"The first principal component holds {percent(shares[0])} of the variance of the table; "
        f"with the columns permuted, {percent(np.mean(null))}:",
        "it is shared by columns."
        if shares[0] > max(null)
        else "that is no more than the scales of the columns give.",
    )
    strengths, threshold = _correlate(first, check_random_state(random_state))
    if len(strengths):
        name = strengths.abs().idxmax()
        section.say(
            f"Of {len(strengths)} properties it goes most with {name.replace('_', ' ')}: rank "
            f"correlation {strengths[name]:+.2f}, where the strongest of all reaches "
            f"{threshold:.2f} in one of twenty shuffles of the elements."
        )
        section.keep("component_correlations", strengths.to_frame())
    section.draw(
        "periodic_classes",
        PeriodicTableDisplay.from_labels(labels, label="class").plot(),
        "The classes of k-means. Their numbers are names, not an order.",
    )
    section.draw(
        "periodic_component",
        PeriodicTableDisplay.from_values(first, label="first principal component").plot(),
        "The first principal component; its sign is arbitrary.",
    )
    section.keep("first_component", first.to_frame())
    return section


def nearest_section(table, random_state):
    """List the nearest elements of each element.

    Parameters
    ----------
    table : ElementTable
    random_state : int

    Returns
    -------
    Section
    """
    section = Section("nearest", "Nearest elements")
    even = centre(table)
    near = {symbol: even.most_similar(symbol, n=5) for symbol in table.symbols}
    nearest = pd.DataFrame({s: list(found.index) for s, found in near.items()}).T
    nearest.columns = [f"nearest {i}" for i in range(1, nearest.shape[1] + 1)]
    nearest.index.name = "element"
    cosines = pd.Series({s: found.iloc[0] for s, found in near.items()}, name="cosine of the first")
    group = np.array([Element(s).group for s in table.symbols])
    no_f = np.array([b != "f" for b in _blocks(table.symbols)])
    place = {s: i for i, s in enumerate(table.symbols)}
    links = np.array([place[s] for s in nearest["nearest 1"]])
    same = group == group[links]
    rng = check_random_state(random_state)
    null = []
    for _ in range(_N_DRAWS):
        dealt = rng.permutation(group)
        null.append((dealt == dealt[links]).mean())
    section.say(
        f"For {same.sum()} of {len(same)} elements ({percent(same.mean())}) the nearest stands in "
        "the same group of the periodic table, lanthanides and actinides counted with group 3; "
        f"with the elements shuffled that is {percent(np.mean(null))} on average and "
        f"{percent(max(null))} at most.",
        f"Outside the f block it is {same[no_f].sum()} of {no_f.sum()}." if no_f.any() else "",
    )
    shown = [s for s in _FAMILIAR if s in place] or table.symbols[:24]
    frame = pd.concat([nearest, cosines], axis=1).rename_axis("element")
    section.keep(
        "nearest_familiar", frame.loc[shown], "Nearest by cosine, the mean vector taken out."
    )
    section.keep("nearest", frame)
    return section


def centre(table):
    """Subtract the mean vector, which raises all cosines, and keep the scales of the columns.

    Parameters
    ----------
    table : ElementTable

    Returns
    -------
    ElementTable
    """
    rows = table.values[table.seen].astype(np.float64)
    return ElementTable(
        rows - rows.mean(axis=0), table.symbols, name=table.name, columns=table.columns
    )


def _blocks(symbols):
    return [Element(symbol).block for symbol in symbols]


def _where(space):
    return {"umap": "UMAP plane", "pca": "first 32 principal components", "table": "table"}[space]


def _name(kind):
    return {"random": "random numbers", "permuted": "permuted columns",
            "gaussian": "one Gaussian cloud"}[kind]  # fmt: skip


def _cophenetic(rows):
    """Return the correlation of distances with those along the tree; None if all are equal."""
    lengths = pdist(rows, "cosine")
    if np.ptp(lengths) < 1e-6:
        return None
    return hierarchy.cophenet(hierarchy.linkage(lengths, "average"), lengths)[0]


def _correlate(values, rng):
    """Return rank correlations with properties, and the 95 % quantile of the largest by chance."""
    properties = element_properties().reindex(values.index)
    found, null = {}, np.zeros(_N_DRAWS)
    for name in properties:
        known = properties[name].notna().to_numpy()
        if known.sum() < 10:
            continue
        a, b = unit_ranks(values[known]), unit_ranks(properties.loc[known, name])
        found[name] = a @ b
        shuffled = np.array([rng.permutation(a) for _ in range(_N_DRAWS)])
        null = np.maximum(null, np.abs(shuffled @ b))
    return pd.Series(found, name="rank correlation", dtype=float), float(np.quantile(null, 0.95))
