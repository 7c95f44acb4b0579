"""Analyses of fitted models: functions that return data, and displays that draw it."""

from skuae.analysis.models._attribution import attribute_atoms
from skuae.analysis.models._attribution_display import AtomAttributionDisplay
from skuae.analysis.models._calibration import UncertaintyCalibrationDisplay
from skuae.analysis.models._invariance import invariance_report
from skuae.analysis.models._invariance_display import InvarianceDisplay
from skuae.analysis.models._learning_curves import LearningCurvesDisplay, compare_learning_curves
from skuae.analysis.models._loss_curve import LossCurveDisplay
from skuae.analysis.models._parity import ParityDisplay

__all__ = [
    "AtomAttributionDisplay",
    "InvarianceDisplay",
    "LearningCurvesDisplay",
    "LossCurveDisplay",
    "ParityDisplay",
    "UncertaintyCalibrationDisplay",
    "attribute_atoms",
    "compare_learning_curves",
    "invariance_report",
]
