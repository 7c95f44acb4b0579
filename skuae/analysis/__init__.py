"""What the embeddings know: functions that return data, and displays that draw it."""

from skuae.analysis._attribution import attribute_atoms
from skuae.analysis._attribution_display import AtomAttributionDisplay
from skuae.analysis._calibration import UncertaintyCalibrationDisplay
from skuae.analysis._cluster_curves import ClusterCurveDisplay
from skuae.analysis._clusters import cluster_elements
from skuae.analysis._comparison import compare_tables
from skuae.analysis._comparison_display import TableSimilarityDisplay, WarpingDisplay
from skuae.analysis._element_map import ElementMapDisplay
from skuae.analysis._invariance import invariance_report
from skuae.analysis._invariance_display import InvarianceDisplay
from skuae.analysis._learning_curves import LearningCurvesDisplay, compare_learning_curves
from skuae.analysis._loss_curve import LossCurveDisplay
from skuae.analysis._oxides import OxideDisplay, oxide_distributions
from skuae.analysis._parity import ParityDisplay
from skuae.analysis._periodic_table import PeriodicTableDisplay
from skuae.analysis._probe import probe_elements
from skuae.analysis._probe_display import ProbeDisplay
from skuae.analysis._properties import element_properties
from skuae.analysis._report import write_report
from skuae.analysis._similarity import SimilarityDisplay
from skuae.analysis._spaces import map_elements

__all__ = [
    "AtomAttributionDisplay",
    "ClusterCurveDisplay",
    "ElementMapDisplay",
    "InvarianceDisplay",
    "LearningCurvesDisplay",
    "LossCurveDisplay",
    "OxideDisplay",
    "ParityDisplay",
    "PeriodicTableDisplay",
    "ProbeDisplay",
    "SimilarityDisplay",
    "TableSimilarityDisplay",
    "UncertaintyCalibrationDisplay",
    "WarpingDisplay",
    "attribute_atoms",
    "cluster_elements",
    "compare_learning_curves",
    "compare_tables",
    "element_properties",
    "invariance_report",
    "map_elements",
    "oxide_distributions",
    "probe_elements",
    "write_report",
]
