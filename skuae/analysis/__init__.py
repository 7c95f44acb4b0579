"""Analyses of tables, models and structures: functions that return data, and displays."""

from skuae.analysis.models import (
    AtomAttributionDisplay,
    InvarianceDisplay,
    LearningCurvesDisplay,
    LossCurveDisplay,
    ParityDisplay,
    UncertaintyCalibrationDisplay,
    attribute_atoms,
    compare_learning_curves,
    invariance_report,
)
from skuae.analysis.report import write_report
from skuae.analysis.structures import lattice_parameters
from skuae.analysis.tables import (
    ClusterCurveDisplay,
    ElementMapDisplay,
    OxideDisplay,
    PeriodicTableDisplay,
    ProbeDisplay,
    SimilarityDisplay,
    TableSimilarityDisplay,
    WarpingDisplay,
    cluster_elements,
    compare_tables,
    element_properties,
    map_elements,
    oxide_distributions,
    probe_elements,
)

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
    "lattice_parameters",
    "map_elements",
    "oxide_distributions",
    "probe_elements",
    "write_report",
]
