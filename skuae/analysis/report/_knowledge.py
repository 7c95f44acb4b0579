"""Sections of a report that compare element vectors with properties, oxides and other tables."""

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skuae.analysis._axes import take_panels
from skuae.analysis._inputs import vectors
from skuae.analysis.report._card import properties_in
from skuae.analysis.report._parts import Section, count_of, listing, number, percent, span
from skuae.analysis.tables import (
    OxideDisplay,
    ProbeDisplay,
    TableSimilarityDisplay,
    WarpingDisplay,
    compare_tables,
    element_properties,
    oxide_distributions,
    probe_elements,
    published_class,
)
from skuae.embedding import get_table, shipped_files, table_names

_LEAST = 10  # elements with a value, of a probe
_N_SHUFFLES = 20
_LABELS = {"formation_energy_per_atom": "formation energy", "band_gap": "band gap"}


def probe_section(table, cv, random_state, n_jobs):
    """Predict measured properties from the vectors and from control vectors.

    Parameters
    ----------
    table : ElementTable
    cv : scikit-learn splitter or None
    random_state : int
    n_jobs : int or None

    Returns
    -------
    Section
    """
    section = Section("probes", "What the vectors say about measured properties")
    went_in = [name for name in properties_in(table) if name in table_names()]
    names = [name for name in ("random", "onehot", *went_in) if name != table.name]
    covered = np.logical_and.reduce([table.seen, *(get_table(name).seen for name in names)])
    values = element_properties()[covered]
    properties = [name for name in values if _can_be_probed(values[name].dropna())]
    if not properties:
        section.say(
            f"Not done: a probe needs {_LEAST} elements with a value, and no value may be that of "
            "half of them."
        )
        return section
    probe = probe_elements(
        table, properties, controls=names, cv=cv, random_state=random_state, n_jobs=n_jobs
    )
    mean = probe.summary["r2_mean"].unstack()
    spread, best = (probe.summary[f"r2_{what}"].unstack()[table.name] for what in ("std", "best"))
    mine, blank = mean[table.name], [name for name in ("random", "onehot") if name in mean]
    order = mine.sort_values(ascending=False).index
    section.say(
        "R² on elements that the trees were not trained on, mean ± standard deviation over "
        f"{probe.scores['split'].nunique()} splits: "
        + listing(f"{_plain(p)} {number(mine[p])} ± {spread[p]:.2f}" for p in order)
        + "."
    )
    null = mean[blank].max(axis=1)
    clear = [p for p in order if mine[p] - spread[p] > max(null[p], 0.0)]
    vague = [p for p in order if p not in clear]
    section.say(
        f"Vectors that know nothing ({listing(blank)}) give {span(mean[blank])}.",
        f"More than one standard deviation above zero and above them: "
        f"{listing(map(_plain, clear)) or 'nothing'}"
        + (f"; not: {listing(map(_plain, vague))}." if vague else "."),
        f"The best of the splits is {span(best - mine)} above the mean: to quote the best "
        "overstates by that much.",
    )
    if went_in:
        better = [p for p in order if mine[p] > mean.loc[p, went_in].max()]
        section.say(
            f"The properties that the vectors were made from ({listing(went_in)}) are probed the "
            f"same way: the table is above {'it' if len(went_in) == 1 else 'both'} for "
            f"{listing(map(_plain, better)) or 'none of the properties'}"
            + (f", by {span((mine - mean[went_in].max(axis=1))[better])}." if better else ".")
        )
    section.draw(
        "probes", ProbeDisplay.from_probe(probe).plot(), "Every dot is a split, bars are means."
    )
    first = probe.top_dims.xs(1, level="rank")
    section.say(
        f"The most important dimension has {span(100 * first['share'], 0)} % of the importance, "
        f"and is the first in {span(100 * first['share_first'], 0)} % of the splits."
    )
    section.draw(
        "importances",
        ProbeDisplay.from_probe(probe).plot(kind="importances"),
        "Mean absolute SHAP values of the trees; the two most important dimensions of each "
        "property are named.",
    )
    shown = probe.summary.rename(columns=lambda c: c.replace("r2_", "R² ").replace("n_", ""))
    section.keep("probe_summary", shown, "R² by property and table; pooled: of all held-out "
                 "elements at once.")  # fmt: skip
    section.keep("probe_scores", probe.scores.set_index(["property", "table", "split"]))
    section.keep("probe_predictions", probe.predictions)
    section.keep("probe_importances", probe.importances)
    section.keep("probe_top_dims", probe.top_dims)
    return section


def _can_be_probed(values):
    """Return whether enough elements have a value, and no value occurs for half of them."""
    return len(values) >= _LEAST and values.value_counts().iloc[0] < len(values) / 2


def oxide_section(labels, random_state):
    """Sort the oxides among the bundled crystals by class of their other elements.

    Parameters
    ----------
    labels : Series of int
        Class by symbol.
    random_state : int

    Returns
    -------
    Section
    """
    from skuae.datasets import load_mp_mini

    section = Section("oxides", "Oxides by class")
    data, rng = load_mp_mini(), check_random_state(random_state)
    published = pd.Series({s: published_class(s) for s in labels.index})
    kinds = {"of this table": ("table", labels), "as published": ("published", published)}
    for name, (key, classes) in kinds.items():
        oxides = _sort(data, classes)
        if oxides is None:
            section.say(f"By the classes {name} no oxide of one class stays.")
            continue
        shares = _explained(oxides)
        shuffled = [_sort(data, pd.Series(rng.permutation(classes), classes.index))
                    for _ in range(_N_SHUFFLES)]  # fmt: skip
        null = pd.DataFrame([_explained(one) for one in shuffled if one is not None])
        n, total = len(oxides.frame), oxides.counts["crystals"] - oxides.counts["no oxygen"]
        section.say(
            f"By the classes {name} {n} of the {total} bundled crystals with oxygen stay; "
            f"{oxides.counts['mixed classes']} mix classes.",
            _medians(oxides, "formation_energy_per_atom", "eV/atom"),
            "Class tells "
            + listing(
                f"{percent(shares[p])} of the variance of the {_LABELS[p]} (with the classes "
                f"shuffled among the elements, {percent(null[p].mean())} on average and "
                f"{percent(null[p].max())} at most)"
                for p in shares.index
            )
            + ".",
        )
        section.draw(
            f"oxides_{key}",
            _violins(oxides),
            f"Oxides by the classes {name}; dots are medians, thick bars the middle half.",
        )
        section.keep(f"oxides_{key}", oxides.summary)
        section.keep(f"oxides_{key}_counts", oxides.counts.to_frame())
    return section


def _sort(data, classes):
    """Return the distributions; None if every oxide mixes classes."""
    try:
        return oxide_distributions(data, classes, columns=list(_LABELS))
    except ValueError as error:
        if "no oxide stays" in str(error):
            return None
        raise


def _explained(oxides):
    """Return the share of the variance between classes, by property."""
    groups = oxides.frame.groupby("class", observed=True)
    between = groups[list(_LABELS)].transform("mean").var(ddof=0)
    return between / oxides.frame[list(_LABELS)].var(ddof=0)


def _medians(oxides, column, unit):
    medians = oxides.summary.loc[column].query("n > 0")
    return (
        f"Median {_LABELS[column]}: "
        + listing(
            f"{number(row['q50'])} {unit} in class {c} (n = {row['n']:.0f})"
            for c, row in medians.iterrows()
        )
        + "."
    )


def _violins(oxides):
    n = len(oxides.frame["class"].cat.categories)
    size = (2 * max(3.6, 1.0 + 0.72 * n), 3.8)
    axes, _ = take_panels(None, 2, size)
    return OxideDisplay.from_distributions(oxides).plot(axes)


def comparison_section(table, others, random_state):
    """Compare a table with others.

    Parameters
    ----------
    table : ElementTable
    others : list of ElementTable
    random_state : int

    Returns
    -------
    Section
    """
    section = Section("comparison", "Beside other tables")
    tables = {table.name: table}
    for other in others:
        if (table.seen & other.seen).sum() >= 5:
            tables[_free(other, tables)] = other
    if len(tables) < 2:
        section.say("Not done: no other table has five elements in common with this one.")
        return section
    window = min(5, *(one.n_dims for one in tables.values()))
    found = compare_tables(tables, window=window, n_permutations=20, random_state=random_state)
    pairs = found.pairs[found.pairs["first"] == table.name].set_index("second")
    for measure, what in (("rsa", "By the distances between elements (RSA)"), ("cka", "By CKA")):
        above = (pairs[measure] - pairs[f"{measure}_null"]) / (1 - pairs[f"{measure}_null"])
        near, far = above.idxmax(), above.idxmin()
        if above[near] < 0.02:
            section.say(f"{what} {table.name} is like no other table: none is above chance.")
            continue
        nearest = (
            f"{what} {table.name} is nearest to {near}: {number(pairs.loc[near, measure])}, "
            "where tables without anything in common have "
            f"{number(pairs.loc[near, f'{measure}_null'])}"
        )
        if len(pairs) == 1:
            section.say(f"{nearest}.")
            continue
        section.say(
            f"{nearest};",
            f"furthest is {far} with {number(pairs.loc[far, measure])} "
            f"({number(pairs.loc[far, f'{measure}_null'])}).",
        )
    mean, spread = vectors(table).mean(axis=0), vectors(table).std()
    if np.abs(mean).max() < 1e-3 * spread:
        section.say(
            "The columns of this table have mean zero: it has no mean embedding, which dynamic "
            "time warping could compare."
        )
    else:
        _warp(section, table, found, pairs)
    for measure, caption in (
        ("cka", "Linear CKA, and in brackets what chance gives; colours are above chance."),
        ("rsa", "Rank correlation of distances between elements, and in brackets chance."),
    ):
        display = TableSimilarityDisplay.from_comparison(found).plot(measure=measure)
        section.draw(measure, display, caption)
    columns = ["n_elements", "cka", "cka_null", "procrustes", "procrustes_null", "rsa", "rsa_null",
               "dtw", "dtw_null"]  # fmt: skip
    shown = pairs[columns].rename(columns=lambda c: c.replace("_null", " by chance"))
    shown = shown.rename(columns={"n_elements": "elements"}).rename_axis("table")
    section.keep("comparison", shown, f"{table.name} beside others.")
    section.keep("comparison_pairs", found.pairs.set_index(["first", "second"]))
    return section


def _warp(section, table, found, pairs):
    """Add the warping of mean embeddings, and compare its cost with that by chance."""
    ratio = pairs["dtw"] / pairs["dtw_null"]
    far = int((ratio < 0.8).sum())
    section.say(
        "Dynamic time warping of mean embeddings, as published, depends on the order of the "
        "dimensions, which is arbitrary. The cost is "
        f"{span(ratio)} times that after the dimensions of the other table were shuffled, which "
        "changes nothing in it.",
        f"It is below 0.8 times for {far} of {count_of(len(ratio), 'table')}"
        + (": the warping tells nothing here." if not far else "."),
    )
    nearest = pairs["rsa"].idxmax()
    place = [key[:2] for key in found.paths].index((table.name, nearest))
    section.draw(
        "warping",
        WarpingDisplay.from_comparison(found, place).plot(),
        f"Cost along the warping path of {table.name} and {nearest}, the nearest by RSA.",
    )


def _free(table, taken):
    """Return a free name, since a user's table may have the name of another table."""
    name = table.name
    names = [name, *(f"{name} ({i})" for i in range(2, len(taken) + 2))]
    if name in shipped_files() and table == get_table(name):
        names.insert(1, f"{name} (shipped)")
    return next(name for name in names if name not in taken)


def _plain(name):
    return name.replace("_", " ")
