"""Contributions of the tokens of a fitted CrystalBERT, and their attention."""

import numpy as np
import pandas as pd
import torch
from sklearn.base import is_regressor
from sklearn.utils import Bunch

from skuae.analysis.models._networks import batches, find_target, take_network, unit_of
from skuae.models import CrystalBERT
from skuae.training import library_defaults


def token_contributions(estimator, X, *, target=None):
    """Split predictions of a CrystalBERT into contributions of its tokens.

    The network ends with one linear layer on the outputs of all tokens, so that each token has a
    share of the prediction.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted, with the back-end `CrystalBERT`.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        The structures to explain; for a pipeline, what its first step takes.
    target : int, str or label, optional
        Which target of a regressor to explain, by number or name, or which class of a classifier.
        Needed if there are several targets, or more than two classes; of two classes, the second
        one is explained.

    Returns
    -------
    contributions : Bunch
        With the fields

        - ``tokens`` : DataFrame of shape (n_samples, n_tokens), one column per token. Units are
          those of the target; if it is one of `log_targets`, all numbers are those of its decadic
          logarithm.
        - ``intercept`` : float
        - ``predictions`` : ndarray of shape (n_samples,), the sums of tokens and intercept. Of a
          classifier, it is the logit of the class minus the mean of the logits of all others: the
          log-odds, if there are two.
        - ``unit`` : str, the unit of these numbers, as far as the model knows it: that of the
          target, ``"log10(...)"`` of it for one of `log_targets`, ``""`` if it is not known;
          ``"log-odds"`` of two classes, ``"logits"`` of more.

    Raises
    ------
    TypeError
        If there is no CrystalBERT.
    ValueError
        If there is no such target, or several and none is chosen.

    Notes
    -----
    The five words of the space group are redundant: the sum of their columns is the value of the
    group. Each output token has read all others, more so in deeper networks. The paper explains one
    layer with one head (``n_layers=1, n_heads=1``).

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import token_contributions
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> contributions = token_contributions(gnn.fit(toy.structures, toy.target), toy.structures)
    >>> contributions.tokens.shape
    (16, 8)
    """
    with library_defaults(), torch.inference_mode():
        estimator, crystals = _take_bert(estimator, X)
        weight, bias, unit = _direction(estimator, target)
        module = estimator.net_.module_
        embedded = [module.embed(batch) for batch in _batches(estimator, crystals)]
    vectors = torch.cat(embedded).cpu().double().unflatten(1, (len(module.token_names), -1))
    values = torch.einsum("ntd,td->nt", vectors, weight.view(*vectors.shape[1:])).numpy()
    return Bunch(
        tokens=pd.DataFrame(values, columns=module.token_names),
        intercept=bias,
        predictions=values.sum(axis=1) + bias,
        unit=unit,
    )


def attention_maps(estimator, X):
    """Return the attention of each token of a CrystalBERT to each other one.

    Parameters
    ----------
    estimator : CrystalGNNRegressor, CrystalGNNClassifier or Pipeline that ends with one
        Fitted, with the back-end `CrystalBERT`.
    X : list, Series, DataFrame with one column, Crystals or StructureFeatures
        For a pipeline, what its first step takes.

    Returns
    -------
    maps : Bunch
        With the fields

        - ``weights`` : ndarray of shape (n_samples, n_layers, n_heads, n_tokens, n_tokens): what
          the token of the row reads from the token of the column. Rows add up to 1.
        - ``tokens`` : list of str, the names of the tokens.

    Raises
    ------
    TypeError
        If there is no CrystalBERT.
    ValueError
        If it has no transformer (``n_layers=0``).

    See Also
    --------
    AttentionMapDisplay : Draws the mean over crystals.

    Examples
    --------
    >>> from skuae import CrystalGNNRegressor, models
    >>> from skuae.analysis import attention_maps
    >>> from skuae.datasets import make_toy_crystals
    >>> toy = make_toy_crystals(n_samples=16, random_state=0)
    >>> bert = models.CrystalBERT(d_model=16, n_layers=1, n_heads=1, d_ff=16)
    >>> gnn = CrystalGNNRegressor(bert, max_epochs=1, random_state=0)
    >>> gnn = gnn.fit(toy.structures, toy.target)
    >>> attention_maps(gnn, toy.structures).weights.shape
    (16, 1, 1, 8, 8)
    """
    with library_defaults(), torch.inference_mode():
        estimator, crystals = _take_bert(estimator, X)
        module = estimator.net_.module_
        if not len(module.layers):
            raise ValueError("this CrystalBERT has no transformer (n_layers=0): nothing attends")
        weights = [_attention(module, batch) for batch in _batches(estimator, crystals)]
    return Bunch(weights=torch.cat(weights).cpu().numpy(), tokens=list(module.token_names))


def _take_bert(estimator, X):
    """Return a fitted CrystalBERT in eval mode, and its crystals."""
    estimator, crystals = take_network(estimator, X)
    backbone = estimator.network_.backbone
    if not isinstance(backbone, CrystalBERT):
        raise TypeError(
            f"the back-end is {type(backbone).__name__}, which has no tokens; fit one with "
            "skuae.models.CrystalBERT()"
        )
    estimator.net_.module_.eval()
    return estimator, crystals


def _batches(estimator, crystals):
    """Cut crystals into batches on the device of the network."""
    packed = estimator.network_.pack(crystals, estimator.device_)
    for rows in batches(np.arange(len(packed)), estimator.batch_size):
        yield packed.batch(rows)


def _direction(estimator, target):
    """Return weights (width,), intercept and unit that make a prediction of all tokens."""
    head = estimator.net_.module_.head
    weight, bias = (p.detach().cpu().double() for p in (head.weight, head.bias))
    if is_regressor(estimator):
        column = find_target(estimator, target)
        scaler = estimator.task_.scaler
        scale, mean = float(scaler.scale_[column]), float(scaler.mean_[column])
        unit = unit_of(estimator, column)
        return weight[column] * scale, float(bias[column]) * scale + mean, unit
    chosen = torch.from_numpy(_class_mask(estimator.classes_, target))
    weight, bias = (p[chosen][0] - p[~chosen].mean(0) for p in (weight, bias))
    return weight, float(bias), "log-odds" if len(chosen) == 2 else "logits"


def _class_mask(classes, target):
    """Return which class a target stands for, as a mask."""
    if target is None and len(classes) == 2:
        target = classes[1]
    known = ", ".join(map(repr, classes.tolist()))
    given = target is not None and np.ndim(target) == 0
    mask = np.array([given and bool(c == target) for c in classes.tolist()])
    if not mask.any():
        raise ValueError(f"target={target!r}: choose one of the classes {known}")
    return mask


def _attention(module, batch):
    """Return the attention of all layers, (B, n_layers, n_heads, T, T)."""
    x, weights = module.read(batch), []
    for layer in module.layers:
        weights.append(layer.attention(x))
        x = layer(x)
    return torch.stack(weights, dim=1)
