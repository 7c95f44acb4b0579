"""Analyses of element tables: functions that return data, and displays that draw it."""

from skuae.analysis.tables._cluster_curves import ClusterCurveDisplay
from skuae.analysis.tables._clusters import cluster_elements
from skuae.analysis.tables._comparison import compare_tables, unit_ranks
from skuae.analysis.tables._comparison_display import TableSimilarityDisplay, WarpingDisplay
from skuae.analysis.tables._controls import CONTROLS, make_control
from skuae.analysis.tables._element_map import ElementMapDisplay
from skuae.analysis.tables._oxides import OxideDisplay, oxide_distributions, published_class
from skuae.analysis.tables._periodic_table import PeriodicTableDisplay
from skuae.analysis.tables._probe import probe_elements
from skuae.analysis.tables._probe_display import ProbeDisplay
from skuae.analysis.tables._properties import element_properties
from skuae.analysis.tables._similarity import SimilarityDisplay
from skuae.analysis.tables._spaces import map_elements, principal

__all__ = [
    "CONTROLS",
    "ClusterCurveDisplay",
    "ElementMapDisplay",
    "OxideDisplay",
    "PeriodicTableDisplay",
    "ProbeDisplay",
    "SimilarityDisplay",
    "TableSimilarityDisplay",
    "WarpingDisplay",
    "cluster_elements",
    "compare_tables",
    "element_properties",
    "make_control",
    "map_elements",
    "oxide_distributions",
    "principal",
    "probe_elements",
    "published_class",
    "unit_ranks",
]
