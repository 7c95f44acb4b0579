"""Model files of another version, or forged, with a right checksum: read right, or refused."""

import copy
from functools import reduce

import numpy as np
import pytest
from small_backbones import SMALL

from skuae import (
    CrystalGNNClassifier,
    CrystalGNNRegressor,
    CrystalTransformerRegressor,
    ElementTable,
)
from skuae._files import read_safetensors, write_safetensors
from skuae.estimators._reading import FORMAT

QUICK = {"max_epochs": 1, "batch_size": 8, "device": "cpu", "random_state": 0}
NAMES = [*SMALL, "classifier", "table", "front_end"]


def unfitted(name):
    if name == "classifier":
        return CrystalGNNClassifier(backbone=SMALL["cgcnn"], **QUICK)
    if name == "table":
        table = ElementTable(np.eye(118), range(1, 119), name="mine")
        return CrystalGNNRegressor(backbone=SMALL["cgcnn"], embedding=table, **QUICK)
    if name == "front_end":
        return CrystalTransformerRegressor(d_model=16, n_layers=1, n_heads=2, **QUICK)
    return CrystalGNNRegressor(backbone=SMALL[name], **QUICK)


@pytest.fixture(scope="module")
def originals(tmp_path_factory, X, y):
    """Return kind, tensors and card of models of every back-end and task."""
    content = {}
    for name in NAMES:
        labels = np.where(y > np.median(y), "a", "b") if name == "classifier" else y
        folder = tmp_path_factory.mktemp(name)
        model = unfitted(name).fit(X, labels)
        model.save_pretrained(folder)
        content[name] = type(model), *read_safetensors(folder / "model.safetensors", format=FORMAT)
    return content


@pytest.fixture
def forged(originals, tmp_path):
    """Return a function that reads a model with a changed card and changed tensors."""

    def read(name, change):
        kind, tensors, card = originals[name]
        tensors, card = dict(tensors), copy.deepcopy(card)
        change(card, tensors)
        write_safetensors(tmp_path / "model.safetensors", tensors, card, format=FORMAT)
        return kind.from_pretrained(tmp_path, device="cpu")

    return read


def entries(card, path=()):
    """Yield where the values of a card are; of a list, the first one."""
    for key in card if isinstance(card, dict) else range(min(len(card), 1)):
        yield (*path, key)
        if isinstance(card[key], (dict, list)):
            yield from entries(card[key], (*path, key))


def inside(card, path):
    return reduce(lambda inner, key: inner[key], path[:-1], card)


ODD = [
    None,
    True,
    -1,
    10**30,
    1e308,
    np.nan,
    "x",
    [],
    {},
    [[1]],
    {"tuple": 1},
    {"pairs": [[[], 1]]},
]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_card_says_is_read_or_refused(name, originals, forged, X, tmp_path):
    refused, odd = 0, iter(ODD * 100)
    paths = list(entries(originals[name][2]))
    for path in paths:

        def change(card, tensors, path=path):
            if isinstance(path[-1], int) or next(odd) is None:
                inside(card, path).pop(path[-1])
            else:
                inside(card, path)[path[-1]] = next(odd)

        try:
            fitted = forged(name, change)
            assert np.isfinite(fitted.predict(X) == 0).all()
            assert np.isfinite(fitted.element_table_.to_frame()).all(axis=None)
        except ValueError as error:
            assert str(tmp_path) in str(error), path
            refused += 1
    assert refused > len(paths) / 2


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_all_there_and_no_others(name, originals, forged, tmp_path):
    tensors = originals[name][1]
    for number, (key, array) in enumerate(tensors.items()):
        for other in (None, np.stack([array, array]), array.astype(np.int8)):
            if number % 25 and other is not None:  # some are enough
                continue

            def change(card, tensors, key=key, other=other):
                tensors.pop(key)
                tensors |= {} if other is None else {key: other}

            with pytest.raises(ValueError, match=f"^{tmp_path} .* can read \\(.*{key}"):
                forged(name, change)
    with pytest.raises(ValueError, match=r"the array 'module\.more' belongs to nothing"):
        forged(name, lambda card, tensors: tensors.update({"module.more": np.zeros(3)}))


def set_to(value, *path):
    return lambda card, tensors: inside(card, path).update({path[-1]: value})


def without(*path):
    return lambda card, tensors: inside(card, path).pop(path[-1])


BACKBONE = ("network", "backbone")
PARAMS = (*BACKBONE, "params")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cgcnn", without("params", "batch_size"), "it lacks parameter 'batch_size'"),
        ("cgcnn", without("params"), "'params' is missing"),
        ("cgcnn", without("network"), "'network' is missing"),
        ("cgcnn", without(*PARAMS, "cutoff"), "the back-end CGCNN lacks its parameter 'cutoff'"),
        ("cgcnn", set_to(1, *PARAMS, "more"), "unexpected keyword argument 'more'"),
        ("cgcnn", set_to("/tmp", "params", "checkpoint_dir"), "unknown parameter 'checkpoint_dir'"),
        ("cgcnn", set_to("/tmp/a.csv", "params", "embedding"), "'/tmp/a.csv', which is no known"),
        ("cgcnn", set_to("x", "params", "backbone"), "there is no backbone 'x'"),
        ("cgcnn", set_to("Other", *BACKBONE, "backbone"), "Other of skuae.models, which is not"),
        ("cgcnn", set_to("system", *BACKBONE, "backbone"), "system of skuae.models, which is not"),
        ("cgcnn", set_to("os", *BACKBONE, "module"), "CGCNN of os, which is not defined here"),
        ("cgcnn", set_to(10**9, *PARAMS, "n_conv"), "more weights than there are in the file"),
        ("cogn", set_to(10**9, *PARAMS, "n_blocks"), "more weights than there are in the file"),
        ("alignn", set_to(10**8, *PARAMS, "hidden_dim"), "more weights than there are in the file"),
        ("alignn", set_to(2, *PARAMS, "n_gcn"), "the array 'module..*' is missing"),
        ("megnet", set_to(10**9, *PARAMS, "set2set_steps"), "set2set_steps must be at most 100"),
        ("megnet", set_to(1e6, *PARAMS, "cutoff"), "cutoff must be at most 100.0 Å"),
        ("megnet", set_to(10**30, *PARAMS, "max_neighbors"), "max_neighbors must be at most 21474"),
        ("cgcnn", set_to("fp8", "network", "precision"), 'precision must be "float32" or "bf16"'),
        ("cgcnn", set_to(["a", "b"], "target_names"), "'target_names' has 2 entries for 1 targets"),
        ("classifier", set_to(["a", "b"], "target_names"), "has 2 entries for 1 targets"),
        ("cgcnn", set_to(["eV", "eV"], "target_units"), "'target_units' has 2 entries for 1 tar"),
        ("cgcnn", set_to([1], "target_units"), "expected a list of texts"),
        ("cgcnn", set_to([1], "task", "logs"), r"'logs' is \[1\], not numbers of targets"),
        ("cgcnn", set_to([True], "task", "logs"), r"'logs' is \[True\], not numbers of targets"),
        ("cgcnn", set_to([{"train_loss": np.nan}], "history"), "'history' of epoch 1 is"),
        ("cgcnn", set_to([{"epochs": 1, "error": np.inf}], "epochs_tried"), "'epochs_tried' has"),
        (
            "cgcnn",
            set_to([{"epochs": 1, "error": 1.0, "more": {}}], "epochs_tried"),
            "'epochs_tried' has",
        ),
        ("cgcnn", set_to(1, "task", "one_target"), "'one_target' is 1, expected bool"),
        ("table", set_to("other", "network", "elements", "kind"), "'kind' is 'other', expected"),
        ("front_end", set_to("/a", "params", "element_features"), "names '/a', which is no known"),
        ("front_end", set_to(["/a", "/b"], "network", "elements", "tables"), "array 'element_fea"),
        ("front_end", set_to("x", "params", "table_scale"), 'table_scale must be "sensitivity"'),
        (
            "classifier",
            set_to({"dtype": "<U1000000000", "labels": ["a", "b"]}, "task", "classes"),
            "'dtype' is '<U1000000000', expected",
        ),
        ("classifier", set_to(["b", "a"], "task", "classes", "labels"), "expected several, sorted"),
        ("classifier", set_to([1, 2], "task", "classes", "labels"), "expected a list of str"),
        ("classifier", set_to(["a"], "task", "classes", "labels"), "expected several, sorted"),
    ],
)
def test_what_is_wrong_is_named(name, change, message, forged, tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path} does not hold .*{message}"):
        forged(name, change)


def test_a_class_that_is_not_known_is_named(forged, tmp_path):
    for kind in ("system", None, {"a": 1}):
        with pytest.raises(ValueError, match=f"{tmp_path} holds a "):
            forged("cgcnn", set_to(kind, "class"))
        with pytest.raises(TypeError, match=f"init_from='{tmp_path}' holds a .*can start from"):
            CrystalGNNRegressor(init_from=tmp_path).fit([], [])


def test_a_prediction_is_never_nan(forged, X):
    def fill(ending, value):
        def change(card, tensors):
            name = [name for name in tensors if name.endswith(ending)][-1]
            tensors[name] = np.full_like(tensors[name], value)

        return change

    with pytest.raises(ValueError, match=r"the variances 'module\..*running_var' are negative"):
        forged("cgcnn", fill("running_var", -1))
    with pytest.raises(ValueError, match=r"^row 0.*numbers that are not finite \(24 such rows\)"):
        forged("cgcnn", fill("weight", 3e38)).predict(X)
