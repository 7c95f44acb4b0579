"""What ``skuae train`` fits: a network, or the pipeline for a few hundred labels."""

import argparse
from importlib.util import find_spec
from typing import Any

from skuae._hub import find_model
from skuae.commands._params import with_params
from skuae.estimators import CrystalGNNClassifier, CrystalGNNRegressor
from skuae.models import resolve_backbone
from skuae.pipelines import crystal_pipeline
from skuae.training import check_training_params

TASKS = ("regression", "classification")
_NETWORK = "network__"  # before the parameters of that part of the pipeline
_FOR_PYTHON = "that is for Python"
# Parameters that have an option of their own, or that make no sense for several fits in a row.
_NOT_SET = {
    "backbone": "use --backbone, or backbone__NAME=VALUE for its parameters",
    "embedding": "use --embedding",
    "random_state": "use --random-state",
    "device": "use --device",
    "verbose": "use --quiet",
    "callbacks": _FOR_PYTHON,
    "estimators": _FOR_PYTHON,
    "final_estimator": _FOR_PYTHON,
    "checkpoint_dir": "the fits of the folds would share it",
    "warm_start": "each fit starts anew",
}
_OF_ALL_PARTS = ("random_state", "device", "verbose")


def check_options(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Raise an error if no estimator that may be meant can be made like that.

    Parameters
    ----------
    args : argparse.Namespace
    settings : dict
        Of ``--set``.

    Raises
    ------
    ValueError, TypeError
        If an option or a setting makes no sense, or does not fit the recipe.
    FileNotFoundError
        If there is no model that the pipeline is to use.
    ImportError
        If a library that the pipeline needs is not installed.
    """
    pipeline = args.recipe == "pipeline"
    for name in settings:
        own = name.removeprefix(_NETWORK) if pipeline else name
        last = name.rpartition("__")[2]
        wrong = own if own in _NOT_SET else last if pipeline and last in _OF_ALL_PARTS else None
        if wrong is not None:
            raise ValueError(f"--set {name}: {_NOT_SET[wrong]}")
    if pipeline:
        if len(args.target) > 1:
            raise ValueError("--recipe pipeline learns one target; give one --target")
        if find_spec("skops") is None:
            raise ImportError('--recipe pipeline needs skops: pip install "skuae[save]"')
        if settings.get("model") is not None:
            find_model(settings["model"])
    elif "model" in settings:
        raise ValueError(
            "--set model: that is for --recipe pipeline; init_from=MODEL starts a network from a "
            "saved one"
        )
    errors = []
    tasks = [args.task] if args.task else TASKS  # else the labels tell
    for task in tasks:
        try:
            model = make_estimator(task, args, settings)
            network = dict(model.estimators)["network"] if pipeline else model
            resolve_backbone(network.backbone)
            check_training_params(network)
        except ValueError as error:
            errors.append(error)
    if len(errors) == len(tasks):
        raise errors[0]


def make_estimator(
    task: str, args: argparse.Namespace, settings: dict[str, Any], n_labels: int | None = None
) -> Any:
    """Return the estimator that the options describe, not fitted.

    Parameters
    ----------
    task : {"regression", "classification"}
    args : argparse.Namespace
    settings : dict
        Of ``--set``.
    n_labels : int, optional
        About how many labels there are, for the inner folds of the pipeline.

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If a setting makes no sense.
    """
    regresses = task == "regression"
    common = {"random_state": args.random_state, "verbose": int(not args.quiet)}
    common["device"] = args.device or "auto"
    if args.recipe == "network":
        kind = CrystalGNNRegressor if regresses else CrystalGNNClassifier
        return with_params(kind(args.backbone, embedding=args.embedding, **common), settings)
    others = dict(settings)
    model = others.pop("model", "mp")
    pipeline: Any = crystal_pipeline(
        "regressor" if regresses else "classifier", n_labels, model=model, **common
    )
    network = dict(pipeline.estimators)["network"].set_params(backbone=args.backbone)
    if args.embedding is not None:
        network.set_params(embedding=args.embedding)
    names = [name for name in others if name.startswith(_NETWORK)]
    inner = {name.removeprefix(_NETWORK): others.pop(name) for name in names}
    with_params(network, inner, _NETWORK)
    return with_params(pipeline, others)
