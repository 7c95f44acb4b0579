"""Analyses of fitted models: functions that return data, and displays that draw it."""

from skuae.analysis.models._attribution import attribute_atoms
from skuae.analysis.models._attribution_display import AtomAttributionDisplay
from skuae.analysis.models._calibration import UncertaintyCalibrationDisplay
from skuae.analysis.models._crystal_systems import (
    CrystalSystemErrorDisplay,
    errors_by_crystal_system,
)
from skuae.analysis.models._environments import SiteEnvironmentsDisplay, site_environments
from skuae.analysis.models._invariance import invariance_report
from skuae.analysis.models._invariance_display import InvarianceDisplay
from skuae.analysis.models._learning_curves import LearningCurvesDisplay, compare_learning_curves
from skuae.analysis.models._loss_curve import LossCurveDisplay
from skuae.analysis.models._parity import ParityDisplay
from skuae.analysis.models._space_group_values import SpaceGroupValuesDisplay, space_group_values
from skuae.analysis.models._symmetry_scores import symmetry_scores
from skuae.analysis.models._token_displays import AttentionMapDisplay, TokenContributionsDisplay
from skuae.analysis.models._tokens import attention_maps, token_contributions

__all__ = [
    "AtomAttributionDisplay",
    "AttentionMapDisplay",
    "CrystalSystemErrorDisplay",
    "InvarianceDisplay",
    "LearningCurvesDisplay",
    "LossCurveDisplay",
    "ParityDisplay",
    "SiteEnvironmentsDisplay",
    "SpaceGroupValuesDisplay",
    "TokenContributionsDisplay",
    "UncertaintyCalibrationDisplay",
    "attention_maps",
    "attribute_atoms",
    "compare_learning_curves",
    "errors_by_crystal_system",
    "invariance_report",
    "site_environments",
    "space_group_values",
    "symmetry_scores",
    "token_contributions",
]
