"""Distributions of properties of oxides by class of their other elements."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pymatgen.core.periodic_table import Element
from sklearn.utils import Bunch

from skuae._elements import N_ELEMENTS, SYMBOLS, atomic_number
from skuae.analysis._axes import take_panels
from skuae.analysis._style import color_of
from skuae.crystals import as_crystals, check_same_order

_OXYGEN = 8
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Columns that are looked for when none are named, and how axes call them.
_LABELS = {
    "formation_energy_per_atom": "formation energy (eV/atom)",
    "band_gap": "band gap (eV)",
    "total_magnetization": "magnetisation (μB/cell)",
    "total_magnetization_per_fu": "magnetisation (μB/formula unit)",
}


def oxide_distributions(
    data, classes="published", *, labels=None, columns=None, include_oxygen=False, zero=1e-3
):
    """Group oxides by the class of their other elements, and describe their properties by class.

    A crystal belongs to a class if it contains oxygen and all its other elements are of that class
    ([1]_, Fig. 3d-f). Elements are read from the sites, not from formulas. Excluded crystals are
    counted by reason.

    Parameters
    ----------
    data : CrystalBunch, DataFrame, or structures of shape (n_crystals,)
        A bunch of `skuae.datasets`, or a data frame with a column ``structure`` beside the
        properties, or structures as `skuae.as_crystals` takes them, with `labels`.
    classes : "published", or mapping or Series from element to class, default="published"
        Elements as symbols or atomic numbers. "published" are those of [1]_: "A" for the groups 2
        to 4 with lanthanides and actinides, "B" for the groups 5 to 10, "C" for all others.
    labels : DataFrame of shape (n_crystals, n_labels), optional
        Properties of the structures, row by row; only with structures.
    columns : list of str, optional
        Columns to describe. By default those of ``formation_energy_per_atom`` (eV/atom),
        ``band_gap`` (eV), ``total_magnetization`` (μB/cell) and ``total_magnetization_per_fu``
        (μB/formula unit) that there are. Crystals that lack one of them drop out, so that all
        distributions are of the same crystals.
    include_oxygen : bool, default=False
        Count crystals of nothing but oxygen for the class of oxygen. By default they drop out: they
        have no other element.
    zero : float, default=1e-3
        Values as small as this count as zero.

    Returns
    -------
    Bunch
        - ``frame``: DataFrame of the crystals that stay, ``class`` and the columns.
        - ``summary``: DataFrame indexed by (property, class) with n, mean, std, min, five
          quantiles (``q05`` to ``q95``), max and the share of values that are zero.
        - ``counts``: Series with the numbers of all crystals, of those that drop out by reason, and
          of those that stay.

    Raises
    ------
    ValueError
        If a column or a class is missing, the labels name the structures in another order, or no
        oxide stays.
    TypeError
        If there are no labels.

    References
    ----------
    .. [1] Jin et al., Nature Communications 16, 1210 (2025).

    Examples
    --------
    >>> from skuae.analysis import oxide_distributions
    >>> from skuae.datasets import load_mp_mini
    >>> oxides = oxide_distributions(load_mp_mini())
    >>> int(oxides.counts["stay"]) == len(oxides.frame)
    True
    >>> oxides.summary.loc["band_gap", "share_zero"].index.tolist()
    ['A', 'B', 'C']
    """
    crystals, labels = _read(data, labels)
    columns = _check_columns(labels, columns)
    names, code_of = _read_classes(classes)
    fate, code = _sort(crystals, code_of, include_oxygen)
    known = labels[columns].notna().all(axis=1).to_numpy()
    fate[(fate == "stay") & ~known] = "value missing"
    stay = fate == "stay"
    reasons = ["no oxygen", "oxygen alone", "element without class", "mixed classes",
               "value missing", "stay"]  # fmt: skip
    counts = pd.Series(
        {"crystals": len(crystals), **{reason: int((fate == reason).sum()) for reason in reasons}},
        name="crystals",
    )
    if not stay.any():
        raise ValueError(
            f"no oxide stays: {counts.to_dict()}; name elements that occur beside oxygen in "
            "classes, or pass crystals that contain oxygen"
        )
    values = labels.loc[stay, columns]
    values.insert(0, "class", pd.Categorical.from_codes(code[stay], categories=names))
    return Bunch(frame=values, summary=_describe(values, columns, zero), counts=counts)


def _read(data, labels):
    if isinstance(data, Mapping):  # a Bunch
        if labels is not None:
            raise TypeError("labels= goes with structures; this data has labels of its own")
        crystals, labels = data["structures"], data["labels"]
    elif isinstance(data, pd.DataFrame) and labels is None:
        if "structure" not in data:
            raise ValueError("the data frame has no column 'structure'; rename the one it has")
        crystals, labels = data["structure"], data.drop(columns="structure")
    elif not isinstance(labels, pd.DataFrame):
        raise TypeError(
            f"labels is a {type(labels).__name__}; pass a data frame with one row per structure"
        )
    else:
        crystals = data
    crystals = as_crystals(crystals)
    if len(labels) != len(crystals):
        raise ValueError(f"{len(labels)} rows of labels for {len(crystals)} structures")
    check_same_order(labels.index, crystals, "labels")
    return crystals, labels


def _check_columns(labels, columns):
    columns = [columns] if isinstance(columns, str) else columns
    known = [name for name in _LABELS if name in labels] if columns is None else list(columns)
    missing = [name for name in known if name not in labels]
    if missing or not known:
        raise ValueError(
            f"the labels have no column {missing[0] if missing else ' or '.join(_LABELS)!r}; they "
            f"have {', '.join(map(str, labels.columns))}. Name some of them in columns="
        )
    return known


def _read_classes(classes):
    """Return the names of the classes, and the class number of each element by Z, or -1."""
    if isinstance(classes, str):
        if classes != "published":
            raise ValueError(f'classes must be "published" or a mapping; got {classes!r}')
        classes = {symbol: published_class(symbol) for symbol in SYMBOLS}
    classes = pd.Series(classes).dropna()
    if classes.empty:
        raise ValueError("classes names no element; give each its class, as in {'Li': 'C'}")
    names = sorted(classes.unique())
    code_of = np.full(N_ELEMENTS + 1, -1)
    for element, name in classes.items():
        code_of[atomic_number(element)] = names.index(name)
    return names, code_of


def published_class(symbol):
    """Return the class "A", "B" or "C" of an element.

    Parameters
    ----------
    symbol : str

    Returns
    -------
    str
    """
    group = Element(symbol).group  # lanthanides and actinides: 3
    return "A" if 2 <= group <= 4 else "B" if 5 <= group <= 10 else "C"


def _sort(crystals, code_of, include_oxygen):
    """Return for each crystal "stay" or why it is dropped, and the classes of those that stay."""
    n = len(crystals)
    rows, numbers, _ = crystals.composition()
    has_oxygen = np.bincount(rows, numbers == _OXYGEN, minlength=n) > 0
    n_others = np.bincount(rows, numbers != _OXYGEN, minlength=n)
    alone = has_oxygen & (n_others == 0)
    asked = (numbers != _OXYGEN) | (alone[rows] & include_oxygen)
    rows, codes = rows[asked], code_of[numbers[asked]]
    lowest, highest = np.full(n, len(code_of)), np.full(n, -1)
    np.minimum.at(lowest, rows, codes)
    np.maximum.at(highest, rows, codes)
    fate = np.select(
        [~has_oxygen, alone & (not include_oxygen), lowest < 0, lowest < highest],
        ["no oxygen", "oxygen alone", "element without class", "mixed classes"],
        "stay",
    ).astype(object)
    return fate, highest


def _describe(values, columns, zero):
    tables = {}
    for column in columns:
        groups = values.groupby("class", observed=False)[column]
        table = groups.agg(["size", "mean", "std", "min", "max"]).rename(columns={"size": "n"})
        quantiles = groups.quantile(_QUANTILES).unstack()
        for place, q in enumerate(_QUANTILES):
            table.insert(4 + place, f"q{round(100 * q):02d}", quantiles[q])
        small = (values[column].abs() <= zero).groupby(values["class"], observed=False)
        table["share_zero"] = small.mean()
        tables[column] = table
    return pd.concat(tables, names=["property", "class"])


class OxideDisplay:
    """Violins of properties of oxides, one panel per property, one violin per class.

    Parameters
    ----------
    values : DataFrame
        Column ``class``, then one column per property.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (n_properties,)
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skuae.analysis import OxideDisplay, oxide_distributions
    >>> from skuae.datasets import load_mp_mini
    >>> oxides = oxide_distributions(load_mp_mini())
    >>> display = OxideDisplay.from_distributions(oxides).plot()
    >>> len(display.ax_)
    2
    """

    def __init__(self, values):
        self.values = values

    @classmethod
    def from_distributions(cls, distributions):
        """Make a display of a result of `oxide_distributions`.

        Parameters
        ----------
        distributions : Bunch

        Returns
        -------
        OxideDisplay
        """
        return cls(distributions.frame)

    def plot(self, ax=None):
        """Draw the violins; white dots are medians, thick bars the middle half.

        Parameters
        ----------
        ax : array of matplotlib Axes of shape (n_properties,), optional
            One per property; by default a new figure.

        Returns
        -------
        OxideDisplay
        """
        columns = [name for name in self.values if name != "class"]
        size = (3.6 * len(columns), 3.6)
        axes, figure = take_panels(ax, len(columns), size)
        for axis, column in zip(axes, columns, strict=True):
            self._plot_one(axis, column)
        self.ax_, self.figure_ = axes, figure
        return self

    def _plot_one(self, axis, column):
        groups = {
            name: group[column].to_numpy(dtype=float)
            for name, group in self.values.groupby("class", observed=False)
        }
        for place, values in enumerate(groups.values()):
            if not len(values):
                continue
            color = color_of(place)
            parts = axis.violinplot([values], [place], widths=0.85, showextrema=False)
            parts["bodies"][0].set(facecolor=color, edgecolor="black", linewidth=0.6, alpha=0.75)
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            axis.vlines(place, low, high, color="black", linewidth=4)
            axis.scatter([place], [middle], color="white", edgecolor="black", s=22, zorder=3)
        axis.set_xticks(
            range(len(groups)), [f"{name}\n(n = {len(v)})" for name, v in groups.items()]
        )
        axis.set_xlabel("class of the other elements")
        axis.set_ylabel(_LABELS.get(column, column))
        axis.spines[["top", "right"]].set_visible(False)
