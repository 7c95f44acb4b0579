"""Element tables, and the features of crystals that are pooled from them."""

from skuae.embedding._features import StructureFeatures, crystals_and_table
from skuae.embedding._featurizer import FeaturizerMixin
from skuae.embedding._join import join_tables
from skuae.embedding._pooling import check_statistics
from skuae.embedding._registry import (
    ONE_TABLE,
    TABLE_FILES,
    get_table,
    labels_for,
    resolve_table,
    shipped_files,
    table_names,
)
from skuae.embedding._saved import decode_table, encode_table
from skuae.embedding._table import ElementTable
from skuae.embedding._uae import UAETransformer

__all__ = [
    "ONE_TABLE",
    "TABLE_FILES",
    "ElementTable",
    "FeaturizerMixin",
    "StructureFeatures",
    "UAETransformer",
    "check_statistics",
    "crystals_and_table",
    "decode_table",
    "encode_table",
    "get_table",
    "join_tables",
    "labels_for",
    "resolve_table",
    "shipped_files",
    "table_names",
]
