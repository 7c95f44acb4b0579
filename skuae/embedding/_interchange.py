"""Element tables to and from the formats of ElementEmbeddings and of matminer."""

import numpy as np
import pandas as pd

from skuae.embedding._elements import N_ELEMENTS, SYMBOLS


def import_element_embeddings():
    """Import ``elementembeddings.core``, which takes seconds: only where it is used."""
    try:
        from elementembeddings import core
    except ImportError as error:
        raise ImportError(
            'this needs the ElementEmbeddings package: pip install "skuae[embeddings]"'
        ) from error
    return core


def to_element_embeddings(table):
    """Return an ``Embedding`` with the rows of `table`."""
    core = import_element_embeddings()
    rows = table.values[table.seen].astype(np.float64)
    return core.Embedding(dict(zip(table.symbols, rows, strict=True)), table.name, table.columns)


def read_element_embeddings(embedding):
    """Return ``(rows, symbols, arguments of ElementTable)`` of an ``Embedding``."""
    symbols = list(embedding.embeddings)
    rows = np.stack([np.asarray(embedding.embeddings[symbol], float) for symbol in symbols])
    card = {
        "name": embedding.embedding_name or "element-embeddings",
        "columns": embedding.feature_labels,
        "metadata": {"source": "ElementEmbeddings", "citation": embedding.citation() or []},
    }
    return rows, symbols, card


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


def read_matminer(data_source, features=None):
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
    frame = pd.read_csv(path, index_col=0)
    if not frame.shape[1]:
        raise ValueError(
            f"{path} has one column only; expected elements in the first and their values after it"
        )
    return frame
