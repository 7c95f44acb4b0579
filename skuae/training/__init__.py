"""Training: tasks, networks with their element vectors, and the loop, independent of estimators."""

from skuae.training._callbacks import name_uncloneable
from skuae.training._classification import ClassificationTask, FittedClassification
from skuae.training._composition import seen_elements
from skuae.training._data import CrystalDataset, CrystalLoader
from skuae.training._defaults import library_defaults
from skuae.training._element_features import named
from skuae.training._fit import (
    Trained,
    fit_network,
    history_of,
    make_net,
    split_validation,
)
from skuae.training._labels import check_two_classes, read_labels
from skuae.training._learned_input import LearnedInput, check_in_reach
from skuae.training._net import CrystalNet, check_finite, outputs_of
from skuae.training._network import ElementInput, Network
from skuae.training._params import check_training_params, resolve_device, seed_of
from skuae.training._precision import resolve_precision
from skuae.training._regression import FittedRegression, RegressionTask
from skuae.training._schedule import SCHEDULES, learning_rate
from skuae.training._search import find_epochs
from skuae.training._seeds import seed_generators, seeded_section
from skuae.training._settings import Settings
from skuae.training._shard_data import dataset_maker, make_loader
from skuae.training._table_input import TableInput, check_covered, table_digest
from skuae.training._targets import check_rows, check_sample_weight, check_targets
from skuae.training._task import FitData, FittedTask, Targets, Task

__all__ = [
    "SCHEDULES",
    "ClassificationTask",
    "CrystalDataset",
    "CrystalLoader",
    "CrystalNet",
    "ElementInput",
    "FitData",
    "FittedClassification",
    "FittedRegression",
    "FittedTask",
    "LearnedInput",
    "Network",
    "RegressionTask",
    "Settings",
    "TableInput",
    "Targets",
    "Task",
    "Trained",
    "check_covered",
    "check_finite",
    "check_in_reach",
    "check_rows",
    "check_sample_weight",
    "check_targets",
    "check_training_params",
    "check_two_classes",
    "dataset_maker",
    "find_epochs",
    "fit_network",
    "history_of",
    "learning_rate",
    "library_defaults",
    "make_loader",
    "make_net",
    "name_uncloneable",
    "named",
    "outputs_of",
    "read_labels",
    "resolve_device",
    "resolve_precision",
    "seed_generators",
    "seed_of",
    "seeded_section",
    "seen_elements",
    "split_validation",
    "table_digest",
]
