"""What the embeddings know: functions that return data, and displays that draw it."""

from skuae.analysis._attribution import attribute_atoms
from skuae.analysis._attribution_display import AtomAttributionDisplay
from skuae.analysis._calibration import UncertaintyCalibrationDisplay
from skuae.analysis._clusters import cluster_elements
from skuae.analysis._learning_curves import LearningCurvesDisplay, compare_learning_curves
from skuae.analysis._loss_curve import LossCurveDisplay
from skuae.analysis._parity import ParityDisplay
from skuae.analysis._spaces import map_elements

__all__ = [
    "AtomAttributionDisplay",
    "LearningCurvesDisplay",
    "LossCurveDisplay",
    "ParityDisplay",
    "UncertaintyCalibrationDisplay",
    "attribute_atoms",
    "cluster_elements",
    "compare_learning_curves",
    "map_elements",
]
