"""Folders that save_pretrained writes: complete, free of pickle, and checked when read."""

import os
import pickletools
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, ElementTable, models
from skuae._files import read_safetensors, write_safetensors
from skuae.embedding import get_table
from skuae.estimators._reading import FORMAT
from skuae.training import seeded_section


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return ElementTable(
        rng.normal(size=(90, 6)), range(1, 91), name="mine", metadata={"source": "here"}
    )


CASES = {
    "native": (CrystalGNNRegressor, {}),
    "tuned": (CrystalGNNRegressor, {"embedding": "table"}),
    "frozen": (CrystalGNNRegressor, {"embedding": "table", "freeze_embedding": True}),
    "by_name": (CrystalGNNRegressor, {"embedding": "magpie"}),
    "learned": (CrystalGNNRegressor, {"embedding": "front_end"}),
    "backbone": (
        CrystalGNNRegressor,
        {"backbone": models.CGCNN(6, 2, 10, 2, cutoff=4.5, max_neighbors=5, whole_shell=True)},
    ),
    "front_end": (CrystalTransformerRegressor, {}),
    "front_end_published": (
        CrystalTransformerRegressor,
        {"readout": "first", "input_norm": False, "task_weights": (1.0, np.float64(2.0))},
    ),
    "early_stopping": (CrystalTransformerRegressor, {"early_stopping": True, "readout": "cls"}),
}


@pytest.fixture(params=CASES)
def fitted(request, small, X, toy, table, front_end):
    kind, params = CASES[request.param]
    named = {"table": table, "front_end": front_end()}
    embedding = params.get("embedding")
    if embedding in named:
        params = {**params, "embedding": named[embedding]}
    two = toy.labels[["electronegativity", "volume_per_atom"]]
    return small(kind, **params).fit(X, two)


@pytest.fixture
def saved(gnn, X, y, tmp_path):
    gnn().fit(X, y).save_pretrained(tmp_path)
    return tmp_path


def test_round_trip(fitted, X, toy, tmp_path, assert_same_weights):
    folder = tmp_path / "new" / "folder"
    fitted.save_pretrained(folder)
    again = type(fitted).from_pretrained(folder, device="cpu")
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert_same_weights(again, fitted)
    assert again.target_names_ == ["electronegativity", "volume_per_atom"]
    assert again.n_iter_ == fitted.n_iter_
    assert again.history_ == fitted.history_
    assert again.epochs_tried_ == fitted.epochs_tried_
    assert again.element_table_ == fitted.element_table_
    assert again.element_table_.metadata == fitted.element_table_.metadata
    shown = {"device", "random_state", "embedding", "task_weights", "backbone"}
    for name, value in fitted.get_params(deep=False).items():
        if name not in shown:
            assert getattr(again, name) == value, name


def test_a_readme_of_the_user_stays_beside_a_table_or_potential(fitted, tmp_path):
    fitted.element_table_.save(tmp_path / "mine.safetensors")
    (tmp_path / "README.md").write_text("# Mine")
    with pytest.raises(FileExistsError, match="the file is not of a saved model, and is not repl"):
        fitted.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Mine"
    assert not (tmp_path / "model.safetensors").exists()


def test_saved_again(fitted, X, tmp_path):
    fitted.save_pretrained(tmp_path / "one")
    again = type(fitted).from_pretrained(tmp_path / "one", device="cpu")
    again.save_pretrained(tmp_path / "two")
    third = type(fitted).from_pretrained(tmp_path / "two", device="cpu")
    np.testing.assert_array_equal(third.predict(X), fitted.predict(X))


def test_a_loaded_estimator_can_be_fitted_anew(fitted, X, toy, tmp_path, assert_same_weights):
    fitted.save_pretrained(tmp_path)
    again = type(fitted).from_pretrained(tmp_path, device="cpu")
    two = toy.labels[["electronegativity", "volume_per_atom"]]
    refitted = clone(again).set_params(random_state=0).fit(X, two)
    learned = isinstance(fitted, CrystalGNNRegressor) and hasattr(fitted.embedding, "fit")
    if not learned:  # then the table is given, not learned along
        assert_same_weights(refitted, fitted)
    assert refitted.element_table_.columns == fitted.element_table_.columns


def test_a_loaded_estimator_can_go_on(fitted, X, toy, tmp_path):
    fitted.save_pretrained(tmp_path)
    again = type(fitted).from_pretrained(tmp_path, device="cpu")
    two = toy.labels[["electronegativity", "volume_per_atom"]]
    again.set_params(warm_start=True, lr=0.0, random_state=0).fit(X, two)
    names = dict(fitted.net_.module_.named_parameters())
    for name, value in again.net_.module_.named_parameters():
        if name != "elements.linear.weight":  # rows of unseen elements follow the mean
            assert torch.equal(value, names[name]), name


def test_what_is_in_the_folder(saved):
    assert {p.name for p in saved.iterdir()} == {"model.safetensors", "README.md"}
    for path in saved.iterdir():
        with pytest.raises(ValueError):
            list(pickletools.genops(path.read_bytes()))
    _, config = read_safetensors(saved / "model.safetensors", format=FORMAT)
    assert config["class"] == "CrystalGNNRegressor"
    assert config["params"]["backbone"]["backbone"] == "CGCNN"
    card = (saved / "README.md").read_text()
    assert "\n# CrystalGNNRegressor\n" in card
    assert "from_pretrained" in card


def test_names_in_the_card_are_no_markup(gnn, X, y, tmp_path):
    table = ElementTable(np.eye(118), range(1, 119), name="<img src=x>")
    fitted = gnn(embedding=table, max_epochs=1).fit(X, pd.Series(y, name="[a](b)|<script>\n# c"))
    fitted.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert r"- Targets: \[a\](b)\|&lt;script&gt; # c" in card.splitlines()
    assert "Element table: &lt;img src=x&gt;" in card
    assert "<" not in card


def test_an_unfitted_estimator_is_not_saved(make, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        make().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_newer_model_replaces_the_one_in_the_folder(make, X, y, tmp_path):
    make().fit(X, y).save_pretrained(tmp_path)
    newer = make(random_state=5, max_epochs=1).fit(X, y)
    newer.save_pretrained(tmp_path)
    again = type(newer).from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), newer.predict(X))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(5))
def test_a_killed_process_leaves_the_old_model_or_the_new(make, X, y, tmp_path, monkeypatch, step):
    old, new = make().fit(X, y), make(random_state=5, max_epochs=1).fit(X, y)
    old.save_pretrained(tmp_path)
    left = [step]

    def until_killed(call):
        def counted(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*args, **kwargs)

        return counted

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, until_killed(getattr(os, name)))
        patch.setattr(Path, "unlink", until_killed(Path.unlink))  # a dead process cleans nothing
        with pytest.raises(Killed):
            new.save_pretrained(tmp_path)
    again = type(new).from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), (old if step < 3 else new).predict(X))
    card = tmp_path / "README.md"
    if card.exists():
        assert f"in {again.n_iter_} epochs" in card.read_text()


# -- damage ---------------------------------------------------------------------------------------


def flip(content, position):
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: flip(content, -5),  # a number
        lambda content: flip(content, 40),  # the header
        lambda content: content + b"\0",
    ],
)
def test_a_damaged_file_is_refused(saved, damage):
    path = saved / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    refused = r"model\.safetensors (was changed|is damaged, or was not written by skuae)"
    with pytest.raises(ValueError, match=refused):
        CrystalGNNRegressor.from_pretrained(saved)


def test_models_of_other_kinds_are_named(saved):
    with pytest.raises(ValueError, match="holds a CrystalGNNRegressor: use its from_pretrained"):
        CrystalTransformerRegressor.from_pretrained(saved)
    tensors, config = read_safetensors(saved / "model.safetensors", format=FORMAT)
    write_safetensors(saved / "model.safetensors", tensors, config, format="skuae-model-9")
    with pytest.raises(ValueError, match=r"skuae-model-9.*another version of skuae wrote it"):
        CrystalGNNRegressor.from_pretrained(saved)


def test_missing_files_are_named(saved, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"absent holds no model: there is no folder .*absent$"
    ):
        CrystalGNNRegressor.from_pretrained(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"safetensors is a file; pass the folder"):
        CrystalGNNRegressor.from_pretrained(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        CrystalGNNRegressor.from_pretrained(saved)


def test_a_pickled_model_predicts_where_its_device_is_not(make, X, y):
    import pickle

    fitted = make().fit(X, y)
    expected = fitted.predict(X)
    fitted.device_ = torch.device("cuda", 99)  # as if it came from a larger machine
    moved = pickle.loads(pickle.dumps(fitted))
    assert moved.device_ == torch.device("cpu")
    np.testing.assert_array_equal(moved.predict(X), expected)


def test_what_is_saved_is_what_was_fitted(gnn, X, y, tmp_path):
    """Parameters set after fit do not change the saved model."""
    fitted = gnn(backbone=models.CGCNN(atom_dim=8, n_conv=np.int64(1), hidden_dim=8)).fit(X, y)
    expected = fitted.predict(X)
    fitted.set_params(backbone__max_neighbors=4)
    fitted.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again.predict(X), expected)


def test_paths_are_not_saved(gnn, X, y, tmp_path):
    get_table("magpie").save(tmp_path / "mine.safetensors")
    fitted = gnn(embedding=str(tmp_path / "mine.safetensors")).fit(X, y)
    fitted.save_pretrained(tmp_path / "m")
    assert str(tmp_path) not in (tmp_path / "m" / "README.md").read_text()
    CrystalGNNRegressor.from_pretrained(tmp_path / "m").fit(X, y)


class MyCGCNN(models.CGCNN):
    pass


def test_a_saved_model_has_all_parameters_of_its_backbone(gnn, X, y, tmp_path, monkeypatch):
    """Defaults may change later: a model that was fitted by name stays what it was."""
    model = gnn(backbone="cgcnn", max_epochs=1).fit(X, y)
    model.save_pretrained(tmp_path)

    class Later(models.CGCNN):
        def __init__(self, atom_dim=7, *, cutoff=4.0):
            super().__init__(atom_dim, cutoff=cutoff)

    monkeypatch.setitem(models.BACKBONES, "cgcnn", Later)
    monkeypatch.setitem(models.BACKBONES, "before", models.CGCNN)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_subclass_of_a_backbone_comes_back_as_such(gnn, X, y, tmp_path):
    model = gnn(backbone=MyCGCNN(atom_dim=8, n_conv=1)).fit(X, y)
    model.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    assert type(again.network_.backbone) is MyCGCNN
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_loading_leaves_the_numbers_of_a_running_fit_alone(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    load = type(fitted).from_pretrained
    before = torch.get_rng_state()
    load(tmp_path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    thread = threading.Thread(target=load, args=[tmp_path], kwargs={"device": "cpu"}, daemon=True)
    with seeded_section(torch.device("cpu")):
        thread.start()
        thread.join(60)
        assert not thread.is_alive()  # it did not wait


def test_weights_of_half_the_size(gnn, X, y, tmp_path):
    """They are rounded to three digits; statistics of batch norms and tables are not."""
    model = gnn(embedding="magpie").fit(X, y)
    for dtype in ("float32", "float16"):
        model.save_pretrained(tmp_path / dtype, dtype=dtype)
    whole, half = (type(model).from_pretrained(tmp_path / d) for d in ("float32", "float16"))
    states = [found.net_.module_.state_dict() for found in (whole, half)]
    rounded = {name for name, _ in half.net_.module_.named_parameters()}
    for name, exact in states[0].items():
        expected = exact.half().float() if name in rounded else exact
        assert torch.equal(states[1][name], expected), name
    assert rounded < set(states[0])
    np.testing.assert_allclose(half.predict(X), whole.predict(X), rtol=0.02, atol=0.02 * y.std())
    sizes = [(tmp_path / dtype / "model.safetensors").stat().st_size for dtype in
             ("float32", "float16")]  # fmt: skip
    n = sum(p.numel() for p in half.net_.module_.parameters())
    assert sizes[0] - sizes[1] == pytest.approx(2 * n, rel=0.05)


def test_weights_that_half_precision_cannot_hold(gnn, X, y, tmp_path):
    model = gnn().fit(X, y)
    with pytest.raises(ValueError, match="dtype must be one of float32, float16; got 'int8'"):
        model.save_pretrained(tmp_path, dtype="int8")
    with torch.no_grad():
        next(model.net_.module_.parameters()).fill_(1e5)
    with pytest.raises(ValueError, match="has weights that are too large"):
        model.save_pretrained(tmp_path, dtype="float16")
    assert not list(tmp_path.iterdir())
