"""The network of an estimator that has the parameters `backbone` and `embedding`."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skuae._progress import show_progress
from skuae._warnings import warn
from skuae.embedding import ElementTable, get_table, labels_for, resolve_table, table_names
from skuae.models import Backbone, resolve_backbone, same_backbone
from skuae.training import (
    FitData,
    Network,
    TableInput,
    check_covered,
    resolve_device,
    resolve_precision,
    seen_elements,
    table_digest,
)

RELATIVES = ("CrystalGNNRegressor", "CrystalGNNClassifier")
_NO_COORDS = (
    "coords=True takes the map of coordinates of a front-end: pass "
    "embedding=CrystalTransformerRegressor(...), or set coords=False"
)


def graph_network(
    estimator: Any, data: FitData, table: ElementTable | None, source: Any = None
) -> Network:
    """Return the network that an estimator is to train.

    Parameters
    ----------
    estimator : CrystalGNNRegressor or CrystalGNNClassifier
    data : FitData
    table : ElementTable or None
        What came with X.
    source : estimator, optional
        Fitted; its table is taken on, as it is now.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If parameters contradict each other or the source, or a table lacks an element.
    """
    backbone = resolve_backbone(estimator.backbone)
    learns = hasattr(estimator.embedding, "fit")
    if source is not None:
        _check_source(estimator, source, backbone, table)
        start, kind, coords, origin = _taken_on(estimator, table, source)
    else:
        start, kind, coords = _chosen(estimator, data, table, backbone)
        origin = table_digest(start)
    # Validation rows may contain elements that are missing from a table learned on the training
    # rows: the network takes the mean for these. Rows that teach nothing are not read at all.
    learned = source is not None or learns
    counted = data.train if learned else np.append(data.train, data.valid)
    check_covered(start, data.crystals, other_table(estimator, source is estimator), counted)
    seen = seen_elements(data.crystals, data.train)
    if source is not None:
        seen |= source.network_.elements.seen
    frozen = bool(estimator.freeze_embedding or kind == "features")
    elements = TableInput(
        start, kind, frozen, seen, origin, other_table(estimator, continued=False), coords
    )
    with show_progress(estimator.verbose):  # "auto" looks at the graphs
        precision = resolve_precision(
            estimator.precision,
            backbone,
            data.crystals,
            estimator.batch_size,
            resolve_device(estimator.device),
            merge=not elements.keeps_sites,
        )
    return Network(backbone, elements, estimator._dtype, precision)


def load_table(estimator: Any, config: dict, arrays: dict[str, np.ndarray]) -> TableInput:
    """Return the element input that a saved model has.

    Parameters
    ----------
    estimator : CrystalGNNRegressor or CrystalGNNClassifier
        Its parameters are those of the saved one; an embedding that could not be saved becomes the
        table, since another fit needs it.
    config : dict
    arrays : dict of str to ndarray
        Those of the table are removed.

    Returns
    -------
    TableInput

    Raises
    ------
    ValueError
        If something in them makes no sense.
    """
    resolve_backbone(estimator.backbone)
    if estimator.embedding not in (None, *table_names()):
        raise ValueError(f"'embedding' is {estimator.embedding!r:.80}, which is no known table")
    remedy = "predict with a model whose table has one"
    elements = TableInput.from_state(config, arrays, remedy)
    if estimator.embedding is None and elements.kind == "table":
        estimator.embedding = elements.table
    return elements


def other_table(estimator: Any, continued: bool) -> str:
    """Say how to get a table that covers more elements.

    Parameters
    ----------
    estimator : CrystalGNNRegressor or CrystalGNNClassifier
    continued : bool
        Whether the fit goes on from the last one.

    Returns
    -------
    str
    """
    if continued:
        return "set warm_start=False to start anew, with a table that covers it"
    if estimator.init_from is not None:
        return "start from a model with a table that covers it"
    learner = getattr(estimator.embedding, "estimator", estimator.embedding)  # a FrozenEstimator's
    if getattr(learner, "element_features", None) is not None:
        return f'set on_missing_element="mean" of the {type(learner).__name__} that learns it'
    if hasattr(learner, "fit"):
        return (
            "learn the table in a step before this one, UAETransformer(embedding=..., "
            'on_missing_element="mean"), which takes the mean of the others for it'
        )
    return "choose a table that has one (ct-uae-mt has all elements up to Bk, mat2vec has all)"


def _chosen(
    estimator: Any, data: FitData, table: ElementTable | None, backbone: Backbone
) -> tuple[ElementTable, str, Any]:
    """Return the initial table of a new fit, its kind and the map of coordinates."""
    embedding, learns = estimator.embedding, hasattr(estimator.embedding, "fit")
    if estimator.coords and not learns:
        raise ValueError(_NO_COORDS)
    if embedding is None:
        if table is not None:
            return table, "table", None
        kind = "features" if backbone.native_frozen else "own"
        return get_table(backbone.native_table), kind, None
    if table is not None and table_digest(table) != table_digest(_given(embedding)):
        warn(f"embedding=... is used, and not the table {table.name!r} that came with X")
    labels = labels_for(embedding, data.targets.given[data.train], is_classifier(estimator))
    start, learner = resolve_table(
        embedding, data.crystals[data.train], labels, sample_weight=data.train_weight
    )
    return start, "table", _coords_of(learner) if estimator.coords else None


def _taken_on(
    estimator: Any, table: ElementTable | None, source: Any
) -> tuple[ElementTable, str, Any, str]:
    """Return table, kind, map of coordinates and origin of the model of `init_from`."""
    elements = source.network_.elements
    given = estimator.embedding is not None or table is not None
    kind = "table" if given else elements.kind
    return elements.looked_up(source.net_.module_), kind, elements.coords, elements.origin


def _check_source(
    estimator: Any, source: Any, backbone: Backbone, table: ElementTable | None
) -> None:
    """Raise if this model differs from the model to start from."""
    network = source.network_
    # dropout has no weights: a fit from another model may choose its own
    if not same_backbone(
        backbone, network.backbone, but=() if source is estimator else ["dropout"]
    ):
        raise ValueError(
            f"the model to start from has backbone {network.backbone}, "
            f"this one {backbone}; use the same, or start anew"
        )
    elements = network.elements
    if bool(estimator.coords) != (elements.coords is not None):
        raise ValueError(
            f"the model to start from was fitted with coords={elements.coords is not None}; set "
            "coords to the same, or start anew"
        )
    if hasattr(estimator.embedding, "fit"):
        if source is estimator:
            return  # it was fitted then
        raise ValueError(
            "init_from brings its own element table, and embedding=... would learn another: "
            "leave embedding=None, or init_from=None"
        )
    asked = table if estimator.embedding is None else _given(estimator.embedding)
    if asked is None:
        return
    looked_up = elements.looked_up(source.net_.module_)
    own = elements.origin, table_digest(elements.table), table_digest(looked_up)
    if table_digest(asked) not in own:
        anew = "init_from=None"
        if source is estimator:
            anew = "set warm_start=False to start anew"
        raise ValueError(
            "the model to start from has its own element table, "
            f"{elements.table.name.removesuffix('-tuned')!r}: leave embedding=None (and no "
            f"UAETransformer with another table before this step), or {anew}"
        )


def _given(embedding: Any) -> ElementTable | None:
    """Return the table of `embedding`; None if an estimator has to learn it."""
    return None if hasattr(embedding, "fit") else resolve_table(embedding)[0]


def _coords_of(front_end: Any) -> Any:
    """Return weight and bias of the map of coordinates of a fitted front-end, for Å."""
    front_end = getattr(front_end, "estimator", front_end)  # a FrozenEstimator
    module: Any = getattr(getattr(front_end, "net_", None), "module_", None)
    if not hasattr(module, "coords"):
        raise ValueError(_NO_COORDS)
    weight, bias = module.coords.weight.detach().cpu(), module.coords.bias.detach().cpu()
    return weight / module.coords_scale, bias
