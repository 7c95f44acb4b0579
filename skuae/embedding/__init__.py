"""Element tables, and the features of crystals that are pooled from them."""

from skuae.embedding._features import StructureFeatures, crystals_and_table
from skuae.embedding._join import join_tables
from skuae.embedding._registry import get_table, resolve_table, table_names
from skuae.embedding._table import ElementTable
from skuae.embedding._uae import UAETransformer

__all__ = [
    "ElementTable",
    "StructureFeatures",
    "UAETransformer",
    "crystals_and_table",
    "get_table",
    "join_tables",
    "resolve_table",
    "table_names",
]
