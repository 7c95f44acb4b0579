"""Element tables to and from the formats of ElementEmbeddings and of matminer."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skuae._elements import N_ELEMENTS, SYMBOLS

if TYPE_CHECKING:
    from skuae.embedding._table import ElementTable

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
    """Adds conversions to and from other packages to `ElementTable`."""

    def to_element_embeddings(self: Any) -> Any:
        """Make an ``Embedding`` of the ElementEmbeddings package; needs ``skuae[embeddings]``.

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
        """Make a table of an ``Embedding`` of the ElementEmbeddings package.

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
        """
        symbols = list(embedding.embeddings)
        rows = np.stack([np.asarray(embedding.embeddings[symbol], float) for symbol in symbols])
        card = {"source": "ElementEmbeddings", "citation": embedding.citation() or []}
        return cls(
            rows,
            symbols,
            name=name or embedding.embedding_name or "element-embeddings",
            columns=embedding.feature_labels,
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
        """Make a table of a matminer data source.

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
            It covers the elements for which the source knows any of the features.
        """
        rows, symbols, card = _read_matminer(data_source, features)
        card["name"] = name or card["name"]
        return cls(rows, symbols, **card)


class MatminerSource:
    """An element table behind the interface of matminer's data sources.

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
    from pymatgen.core.periodic_table import Element

    if features is None:
        features = getattr(data_source, "features", None) or getattr(
            data_source, "prop_names", None
        )
    source = getattr(data_source, "data_source", data_source)  # of an ElementProperty
    if features is None:
        raise ValueError(
            f"{type(source).__name__} does not list its properties; pass features=[...], e.g. "
            'ElementProperty.from_preset("magpie").features'
        )
    rows = np.full((N_ELEMENTS, len(features)), np.nan)
    for row, symbol in enumerate(SYMBOLS):
        for column, feature in enumerate(features):
            try:
                rows[row, column] = source.get_elemental_property(Element(symbol), feature)
            except KeyError:  # how some sources say that they do not know the element
                pass
    known = ~np.isnan(rows).all(axis=1)
    name = type(source).__name__
    card = {"name": name, "columns": features, "metadata": {"source": f"matminer {name}"}}
    return rows[known], np.flatnonzero(known) + 1, card


def read_csv(path):
    """Read a CSV whose first column names the elements, as a data frame indexed by them."""
    try:
        frame = pd.read_csv(path, index_col=0)
    except ValueError as error:  # empty, of uneven rows, or in another encoding
        raise ValueError(
            f"{path} is no CSV in UTF-8, with commas between columns: {error}"
        ) from error
    if not frame.shape[1]:
        raise ValueError(
            f"{path} has one column only; expected elements in the first and their values after "
            "it, with commas between them"
        )
    first, *cells = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]
    known = pd.Series(cells).dropna()
    if first in _ELEMENTS and pd.to_numeric(known, errors="coerce").notna().all():
        raise ValueError(
            f"{path} has no header: its first line, of {first}, holds numbers. Put a line with the "
            "names of the columns before it"
        )
    return frame
