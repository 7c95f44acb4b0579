"""What the embeddings know: functions that return data, and displays that draw it."""

from skuae.analysis._attribution import attribute_atoms
from skuae.analysis._attribution_display import AtomAttributionDisplay
from skuae.analysis._calibration import UncertaintyCalibrationDisplay
from skuae.analysis._learning_curves import LearningCurvesDisplay, compare_learning_curves
from skuae.analysis._loss_curve import LossCurveDisplay
from skuae.analysis._parity import ParityDisplay

__all__ = [
    "AtomAttributionDisplay",
    "LearningCurvesDisplay",
    "LossCurveDisplay",
    "ParityDisplay",
    "UncertaintyCalibrationDisplay",
    "attribute_atoms",
    "compare_learning_curves",
]
