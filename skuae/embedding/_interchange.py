"""Element tables to and from the formats of ElementEmbeddings and of matminer."""

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skuae._cells import number_in, says_unknown
from skuae._csv import as_table, as_typed, read_lines, wrong_delimiter
from skuae._elements import N_ELEMENTS, SYMBOLS, atomic_number, name_elements
from skuae._html import as_html
from skuae.embedding._checks import check_cells, check_numbered, is_head_of_numbers

if TYPE_CHECKING:
    from skuae.embedding._table import ElementTable

_ROWS, _COLUMNS = 5, 6  # in notebooks
_ELEMENTS = {*SYMBOLS, *map(str, range(1, N_ELEMENTS + 1))}


def import_element_embeddings():
    """Import ``elementembeddings.core``, which takes seconds: only where it is used."""
    try:
        from elementembeddings import core
    except ImportError as error:
        raise ImportError(
            'this needs the ElementEmbeddings package: pip install "skuae[embeddings]"'
        ) from error
    return core


class InterchangeMixin:
    """Adds conversions to and from other packages, and for notebooks, to `ElementTable`."""

    def _repr_html_(self: Any) -> str:
        """Return what notebooks show: the card, and the first rows and columns."""
        lacking = np.flatnonzero(~self.seen) + 1
        facts = {
            "elements": f"{self.seen.sum()} of {N_ELEMENTS}",
            "without a row": name_elements(lacking) or "none",
            "columns": f"{self.n_dims}",
        }
        card = self.metadata
        facts |= {key: card[key] for key in ("description", "source", "licence") if key in card}
        shown = self.to_frame().iloc[:_ROWS, :_COLUMNS]
        more = "" if shown.size == self.seen.sum() * self.n_dims else "... and more"
        return as_html(f"ElementTable {self.name}", facts, shown.round(3), more)

    def to_element_embeddings(self: Any) -> Any:
        """Convert to an ``Embedding`` of ElementEmbeddings; needs ``skuae[embeddings]``.

        Returns
        -------
        elementembeddings.core.Embedding
            With the rows, the columns and the name of the table.
        """
        core = import_element_embeddings()
        rows = self.values[self.seen].astype(np.float64)
        return core.Embedding(dict(zip(self.symbols, rows, strict=True)), self.name, self.columns)

    @classmethod
    def from_element_embeddings(
        cls: Any,
        embedding: Any,
        *,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> "ElementTable":
        """Convert an ``Embedding`` of the ElementEmbeddings package to a table.

        Parameters
        ----------
        embedding : elementembeddings.core.Embedding
            Of elements (not of species).
        name : str, optional
            By default the name of the embedding.
        metadata : dict, optional
            Added to the card.

        Returns
        -------
        ElementTable

        Raises
        ------
        ValueError
            If a row does not belong to an element, such as ``Uut`` in ElementEmbeddings'
            ``random_200``.

        Warns
        -----
        UserWarning
            Rows look like placeholders: see `ElementTable`.
        """
        symbols = list(embedding.embeddings)
        strange = [symbol for symbol in symbols if symbol not in SYMBOLS]
        if strange:
            raise ValueError(
                f"the embedding {embedding.embedding_name!r} has rows for "
                f"{', '.join(map(repr, strange[:8]))}, which are no elements; take these out of "
                "its dict, embedding.embeddings.pop(name), or rename them"
            )
        rows = np.stack([np.asarray(embedding.embeddings[symbol], float) for symbol in symbols])
        card = {"source": "ElementEmbeddings", "citation": embedding.citation() or []}
        return cls(
            pd.DataFrame(rows, index=symbols, columns=embedding.feature_labels),
            name=name or embedding.embedding_name or "element-embeddings",
            metadata={**card, **(metadata or {})},
        )

    def to_matminer(self: Any) -> "MatminerSource":
        """Return a data source for matminer's ``ElementProperty``.

        Returns
        -------
        object
            Pass it as ``ElementProperty(source, features=source.prop_names, stats=["mean"],
            impute_nan=False)``. Elements without a vector give NaN, as in matminer.
        """
        return MatminerSource(self)

    @classmethod
    def from_matminer(
        cls: Any, data_source: Any, features: list[str] | None = None, *, name: str | None = None
    ) -> "ElementTable":
        """Convert a matminer data source to a table.

        Parameters
        ----------
        data_source : object
            ``MagpieData()``, ``MEGNetElementData()``, ..., or an ``ElementProperty`` featurizer,
            whose source and features are taken.
        features : list of str, optional
            The properties that become columns. May be left out where the source lists them.
        name : str, optional
            By default the class name of the source.

        Returns
        -------
        ElementTable
            It covers the elements that have a value of at least one feature in the source. Imputed
            means and placeholder rows do not count as values. The metadata list elements with
            imputed values.

        Raises
        ------
        ValueError
            If no element has a value of a feature, a value is not a number, or a covered element
            lacks a feature, so that NaN would be left.
        """
        rows, symbols, card = _read_matminer(data_source, features)
        card["name"] = name or card["name"]
        return cls(rows, symbols, **card)


class MatminerSource:
    """Element table with the interface of matminer's data sources.

    Parameters
    ----------
    table : ElementTable

    Attributes
    ----------
    prop_names : list of str
        The columns of the table.
    """

    def __init__(self, table):
        self.table = table
        self.prop_names = list(table.columns)

    def get_elemental_property(self, elem, property_name):
        """Return one property of a pymatgen Element; NaN where the table has no vector."""
        return float(self.table.values[elem.Z - 1, self.prop_names.index(property_name)])

    def get_elemental_properties(self, elems, property_name):
        """Return one property of several pymatgen Elements."""
        return [self.get_elemental_property(elem, property_name) for elem in elems]


def _read_matminer(data_source, features):
    """Return ``(rows, symbols, arguments of ElementTable)`` of a matminer data source."""
    if features is None:
        features = getattr(data_source, "features", None) or getattr(
            data_source, "prop_names", None
        )
    source = getattr(data_source, "data_source", data_source)  # of an ElementProperty
    name = type(source).__name__
    if features is None:
        raise ValueError(
            f"{name} does not list its properties; pass features=[...], e.g. "
            'ElementProperty.from_preset("magpie").features'
        )
    features = list(features)
    measured = _properties(_without_imputation(source), features)
    _check_features(name, features, measured)
    known = ~np.isnan(measured).all(axis=1)
    rows = measured if not _imputes(source) else _properties(source, features)
    metadata = {"source": f"matminer {name}"}
    imputed = known & (np.isnan(measured) & ~np.isnan(rows)).any(axis=1)
    if imputed.any():
        metadata["partly_imputed_with_mean"] = name_elements(
            np.flatnonzero(imputed) + 1, most=N_ELEMENTS
        )
    card = {"name": name, "columns": features, "metadata": metadata}
    return rows[known], np.flatnonzero(known) + 1, card


def _imputes(source):
    return bool(getattr(source, "impute_nan", False))


def _without_imputation(source):
    """Return a data source without the means that it imputes for missing values."""
    if not _imputes(source):
        return source
    names = inspect.signature(type(source)).parameters
    given = {name: getattr(source, name) for name in names if hasattr(source, name)}
    try:
        plain = type(source)(**{**given, "impute_nan": False})
    except Exception as error:  # a class of somebody else's
        raise ValueError(
            f"{type(source).__name__} imputes means, and which values these are cannot be told "
            f"({error}); pass one made with impute_nan=False"
        ) from error
    if getattr(plain, "prop_names", None) != getattr(source, "prop_names", None):
        raise ValueError(
            f"{type(source).__name__} imputes means, and which values these are cannot be told, "
            "since it has other properties than one with the same arguments; pass one made with "
            "impute_nan=False"
        )
    return plain


def _properties(source, features):
    """Return the values of a source, one row per element; NaN where it has none."""
    from pymatgen.core.periodic_table import DummySpecies, Element

    rows = np.full((N_ELEMENTS, len(features)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen has one for each value that it does not know
        for row, symbol in enumerate(SYMBOLS):
            rows[row] = [_property(source, Element(symbol), feature) for feature in features]
        try:  # MEGNet's source has a row for all that it does not know
            filler = [_property(source, DummySpecies("X"), feature) for feature in features]
        except Exception:  # what a source without one raises is its own affair
            return rows
    rows[(rows == filler).all(axis=1)] = np.nan
    return rows


def _property(source, element, feature):
    try:
        value = source.get_elemental_property(element, feature)
    except (KeyError, AttributeError):  # how some sources say that they do not know something
        return np.nan
    if value is None:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{type(source).__name__}: {feature!r} of {element} is {value!r}, no number; leave it "
            "out of features"
        ) from error


def _check_features(name, features, rows):
    unknown = np.flatnonzero(np.isnan(rows).all(axis=0))
    if len(unknown):
        raise ValueError(
            f"{name} knows {features[unknown[0]]!r} of no element; see whether the name is right"
        )


def read_csv(path):
    """Read a CSV whose first column names the elements, as a data frame indexed by them."""
    lines = read_lines(path)
    _check_elements(path, lines)
    texts = as_table(path, lines)
    if texts.shape[1] < 2:
        raise ValueError(
            f"{path} has one column only; expected elements in the first and their values after "
            "it, with commas between them"
        )
    elements, *columns = texts
    check_numbered(elements, list(texts[elements]), f"{path}: the first column")
    frame = texts[columns].apply(as_typed).set_axis(_elements(path, texts[elements]))
    check_cells(frame, path)
    return frame.astype(float)


def _check_elements(path, lines):
    """Raise ValueError if a CSV lacks a header or has other delimiters, judged by its elements."""
    for _, line in lines[:2]:
        for delimiter in ";\t|" if len(line) > 1 else ";\t| ":
            first, found, _ = line[0].partition(delimiter)
            if found and first.strip() in _ELEMENTS:
                raise wrong_delimiter(path, delimiter)
    if not lines:
        return
    first, *cells = lines[0][1]
    known = [cell for cell in cells if not says_unknown(cell)]
    numbers = [x for cell in known if (x := number_in(cell)) is not None]
    if first not in _ELEMENTS and is_head_of_numbers(first):
        return
    # Columns may be called 0, 1, 2, ..., but hardly by other numbers.
    of_element = first.capitalize() in _ELEMENTS and 0 < len(numbers) == len(known)
    if of_element or any(x < 0 or x % 1 for x in numbers):
        raise ValueError(
            f"{path} has no header: its first line, of {first}, holds numbers. Put a line with the "
            "names of the columns before it"
        )


def _elements(path, names):
    """Return the symbols of the elements named by symbol or atomic number."""
    symbols = []
    for name in names:
        number = number_in(name)
        try:
            symbols.append(SYMBOLS[atomic_number(name if number is None else number) - 1])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return symbols
