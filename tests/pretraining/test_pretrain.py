import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from skorch.callbacks import Callback

from skuae import (
    CrystalGNNRegressor,
    Crystals,
    CrystalTransformerRegressor,
    ElementTable,
    as_crystals,
)
from skuae.datasets import formula_groups, load_mp_mini
from skuae.embedding import get_table
from skuae.pretraining import pretrain

SMALL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "dim_feedforward": 16, "max_epochs": 2}
TARGETS = ["formation_energy_per_atom", "band_gap"]


@pytest.fixture(scope="module")
def data():
    return load_mp_mini(target=TARGETS)


def run(data, folder, n=300, **options):
    front_end = options.pop("front_end", CrystalTransformerRegressor(**SMALL))
    return pretrain(
        data.structures[:n], data.labels[TARGETS][:n], folder, front_end=front_end, verbose=0,
        **options,
    )  # fmt: skip


def test_no_formula_is_on_both_sides(data, tmp_path):
    result = run(data, tmp_path, hold_out=data.structures[250:], validation_fraction=0.2)
    groups = formula_groups(data.structures)
    part = result.split.to_numpy()
    train = set(groups[:300][part == "train"])
    assert set(part) >= {"train", "validation", "held out"}
    assert not train & set(groups[250:])
    assert not train & set(groups[:300][part == "validation"])
    assert (part[250:] == "held out").all()


@pytest.mark.parametrize("name", ["config.json", "README.md", "split.csv"])
def test_files_of_something_else_stay(name, data, tmp_path):
    ElementTable([[1.0]], ["Cu"], name="x").save(tmp_path / "x.safetensors")  # tells nothing
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"not of a saved table.*{name}"):
        run(data, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {name, "x.safetensors"}
    assert (tmp_path / name).read_text() == "mine"


def test_files_of_an_older_table_are_replaced_and_the_card_of_a_network_stays(data, tmp_path):
    for source in ("first", "second"):
        run(data, tmp_path, n=60, source=source)
    assert "- Source: second\n" in (tmp_path / "README.md").read_text()
    network = CrystalTransformerRegressor.from_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(FileExistsError, match=r"not of a saved model.*README\.md"):
        network.save_pretrained(tmp_path)  # the card of the table
    with pytest.raises(FileExistsError, match=r"not of a saved table.*README\.md"):
        run(data, tmp_path / "model", n=60)
    assert (tmp_path / "model" / "README.md").read_text() == card


def test_what_is_written_tells_what_was_done(data, tmp_path):
    result = run(data, tmp_path, name="mine", source="Materials Project", licence="CC BY 4.0",
                 units={"band_gap": "eV"}, validation_fraction=0.01,
                 hold_out={"test": data.structures[280:300]})  # fmt: skip
    table = ElementTable.load(tmp_path / "mine.safetensors")
    assert table == result.table
    config = json.loads((tmp_path / "config.json").read_text())
    card = (tmp_path / "README.md").read_text()
    counts = result.split.value_counts()
    assert config["rows"]["train"] == counts["train"] == table.metadata["rows"]["train"]
    assert config["hold_out"] == {"test": 20}
    for said in ("Materials Project", "CC BY 4.0", "band_gap (eV)", "test (20 rows)", "Nature"):
        assert said in card
    assert "test (20 rows)" in table.metadata["leakage"]
    split = pd.read_csv(tmp_path / "split.csv", index_col="id")["part"]
    assert list(split) == list(result.split)
    restored = CrystalTransformerRegressor.from_pretrained(tmp_path / "model")
    some = data.structures[np.flatnonzero(result.split == "train")[:5]]
    np.testing.assert_array_equal(restored.predict(some), result.front_end.predict(some))
    assert not (tmp_path / ".skuae-checkpoints").exists()


def test_metrics_are_those_of_the_validation_rows(data, tmp_path):
    result = run(data, tmp_path, validation_fraction=0.2)
    rows = np.flatnonzero(result.split == "validation")
    assert len(rows) == result.metrics["n_validation"].iloc[0] > 20
    error = np.abs(result.front_end.predict(data.structures[rows]) - data.target[rows])
    np.testing.assert_allclose(result.metrics["mae"], error.mean(axis=0), rtol=1e-5)
    mean = data.target[:300][result.split == "train"].mean(axis=0)
    spread = np.abs(data.target[rows] - mean).mean(axis=0)
    np.testing.assert_allclose(result.metrics["mae_of_mean"], spread, rtol=1e-5)
    rmse = np.sqrt((error**2).mean(axis=0))
    np.testing.assert_allclose(result.metrics["rmse"], rmse, rtol=1e-5)


class CtrlC(Callback):
    """Stop training in the last epoch, after a checkpoint."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == net.max_epochs:
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        net.history.record("dur", 1000.0)
        dict(net.callbacks_)["checkpoint"].written = -np.inf


def test_a_stopped_run_writes_no_table_and_goes_on_where_it_was(data, tmp_path):
    whole = run(data, tmp_path / "whole")
    folder = tmp_path / "part"
    front_end = CrystalTransformerRegressor(**SMALL, callbacks=[CtrlC()])
    with (
        pytest.warns(UserWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt, match="after 1 of 2 epochs"),
    ):
        run(data, folder, front_end=front_end)
    assert [path.name for path in folder.iterdir()] == [".skuae-checkpoints"]
    resumed = run(data, folder)
    assert [e["epoch"] for e in resumed.front_end.history_] == [1, 2]
    np.testing.assert_array_equal(resumed.table.values, whole.table.values)
    assert resumed.table.metadata["fit_seconds"] >= 1000  # the epoch before the stop counts, too


def test_folders_of_the_user_are_left_alone(data, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.pt").touch()
    run(data, tmp_path, n=60)
    assert (tmp_path / "checkpoints" / "mine.pt").exists()


def test_method_two(data, tmp_path):
    front_end = CrystalGNNRegressor("cgcnn", embedding="onehot", max_epochs=1)
    assert run(data, tmp_path, front_end=front_end).table.n_dims == 64


def test_ids(data, tmp_path):
    ids = data.ids[:300]
    result = run(data, tmp_path, hold_out_ids=ids[:30], validation_ids=ids[30:60])
    assert (result.split[:30] == "held out").all()
    assert (result.split[30:60].isin(["validation", "unknown element", "held out"])).all()
    first = re.escape(f"(such as '{ids[0]}')")
    with pytest.raises(ValueError, match=f"none of the 1 validation_ids is among .* {first}"):
        run(data, tmp_path, validation_ids=["mp-0"])
    with pytest.raises(TypeError, match=f"hold_out_ids='{ids[0]}' is one text; pass a list"):
        run(data, tmp_path, hold_out_ids=ids[0])
    with pytest.warns(UserWarning, match="1 of 3 hold_out_ids are not among .* 'mp-0'"):
        result = run(data, tmp_path, hold_out_ids={*ids[:2], "mp-0"}, hold_out_by="id")
    assert (result.split == "held out").sum() == 2


def test_numeric_ids_are_held_out_too(data, tmp_path):
    crystals = as_crystals(pd.Series(list(data.structures[:60]), index=range(100, 160)))
    result = pretrain(
        crystals, data.labels[TARGETS][:60].reset_index(drop=True), tmp_path, verbose=0,
        front_end=CrystalTransformerRegressor(**SMALL), hold_out={"test": crystals[:5]},
        hold_out_ids=["105", "106"], hold_out_by="id",
    )  # fmt: skip
    assert list(result.split.index[result.split == "held out"]) == [str(i) for i in range(100, 107)]


def test_labels_in_another_order_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match=r"row 0 of y is 'mp-\d+', .* y\.loc\["):
        pretrain(data.structures, data.labels[TARGETS][::-1], tmp_path)


@pytest.mark.parametrize("label", [np.inf, "large", pd.Timestamp("2026-01-01")])
def test_a_label_that_is_no_number_is_named_by_the_row_of_the_data(data, tmp_path, label):
    y = data.labels[TARGETS][:60].astype(object)
    y.iloc[59, 1] = label
    message = re.escape(f"row 59 ({data.ids[59]}): band_gap is {label!r}, no finite number (1 such")
    with pytest.raises(ValueError, match=f"^{message}"):
        pretrain(data.structures[:60], y, tmp_path, hold_out=data.structures[:10])


def test_no_validation_rows(data, tmp_path):
    result = run(data, tmp_path, n=60, validation_fraction=0)
    assert set(result.split) == {"train"}
    card = (tmp_path / "README.md").read_text()
    assert "Any crystal of the source" in card and "validation row." not in card
    assert result.metrics["mae"].isna().all()
    assert json.loads((tmp_path / "config.json").read_text())["metrics"]["band_gap"]["mae"] is None


def test_names_of_targets_are_texts_and_small_errors_are_kept(data, tmp_path):
    y = pd.Series(data.target[:100, 0] * 1e-9)
    front_end = CrystalTransformerRegressor(**SMALL)
    result = pretrain(data.structures[:100], y, tmp_path, front_end=front_end, verbose=0,
                      max_sites=np.int64(20), validation_fraction=0.2)  # fmt: skip
    config = json.loads((tmp_path / "config.json").read_text())
    assert list(config["targets"]) == ["target"]
    assert 0 < config["metrics"]["target"]["mae"] == result.metrics["mae"]["target"] < 1e-7
    frame = pd.DataFrame({0: y, 1: y})
    result = pretrain(data.structures[:100], frame, tmp_path, units={1: "eV"}, verbose=0,
                      front_end=front_end)  # fmt: skip
    assert list(result.metrics.index) == ["0", "1"]
    assert result.table.metadata["targets"] == {"0": "", "1": "eV"}


def test_two_targets_of_one_name_are_refused(data, tmp_path):
    frame = pd.DataFrame(data.target[:60])
    for columns in (["1", "1"], [1, "1"], [["e", "e"], ["a", "a"]]):
        with pytest.raises(ValueError, match=r"y has two columns .*; rename one"):
            pretrain(data.structures[:60], frame.set_axis(columns, axis=1), tmp_path)


def test_complex_labels_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="target holds complex numbers"):
        pretrain(data.structures[:60], pd.Series(1j * np.arange(60)), tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", 3])
def test_the_name_is_that_of_a_file(data, tmp_path, name):
    with pytest.raises(ValueError, match=f"name={name!r} must be usable as the name of a file"):
        pretrain(data.structures[:60], data.labels[TARGETS][:60], tmp_path, name=name)


def test_bits_that_a_graph_network_starts_from_are_in_the_card(data, tmp_path):
    features = {}
    for backbone, embedding in (("cgcnn", None), ("megnet", None), ("cgcnn", "onehot")):
        front_end = CrystalGNNRegressor(backbone, embedding=embedding, max_epochs=1, device="cpu")
        card = run(data, tmp_path, n=60, front_end=front_end).table.metadata
        features[backbone, embedding] = card["element_features"]
    assert features == {("cgcnn", None): ["cgcnn"], ("megnet", None): [], ("cgcnn", "onehot"): []}


def test_rows_near_validation_say_so(data, tmp_path):
    crystals = Crystals.concatenate([data.structures[:30], data.structures[:30]])
    crystals = as_crystals(pd.Series(list(crystals), index=[f"x-{i}" for i in range(60)]))
    result = pretrain(
        crystals, pd.concat([data.labels[TARGETS][:30]] * 2), tmp_path, verbose=0,
        front_end=CrystalTransformerRegressor(**SMALL), validation_ids=["x-0"],
    )  # fmt: skip
    assert result.split["x-30"] == "near validation"


def test_a_front_end_that_guesses_is_measured_on_new_elements(data, tmp_path):
    has_oxygen = np.array(["O" in crystal.symbol_set for crystal in data.structures[:300]])
    ids = [*data.ids[:300][has_oxygen], data.ids[:300][~has_oxygen][0]]
    n_rows = {}
    for guess in ("raise", "mean"):
        front_end = CrystalTransformerRegressor(
            **SMALL, on_missing_element=guess, element_features=None
        )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            result = run(data, tmp_path / guess, front_end=front_end, validation_ids=ids)
        begin = f"{len(ids) - 1} of {len(ids)} validation rows not measured, for elements "
        left_out = [str(w.message) for w in said if str(w.message).startswith(begin)]
        assert len(left_out) == (guess == "raise") and all("O" in text for text in left_out)
        n_rows[guess] = result.metrics["n_validation"].iloc[0]
        assert n_rows[guess] == (result.split == "validation").sum()
    assert n_rows == {"raise": 1, "mean": len(ids)}
    oxides = set(pd.read_csv(tmp_path / "raise" / "split.csv")["part"][:300][has_oxygen])
    assert oxides == {"unknown element"}  # not measured, and not called validation rows either


def test_it_is_said_if_no_row_is_left_to_measure_errors_on(data, tmp_path):
    with pytest.warns(UserWarning, match="no row is left to measure errors on.* 5 held out"):
        run(data, tmp_path, n=60, validation_ids=data.ids[:5], hold_out_ids=data.ids[:5])
    oxides = ["O" in crystal.symbol_set for crystal in data.structures[:60]]
    front_end = CrystalTransformerRegressor(**SMALL, element_features=None)
    with pytest.warns(UserWarning, match="no row is left to measure errors on.* unknown element"):
        run(data, tmp_path, n=60, validation_ids=data.ids[:60][oxides], front_end=front_end)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"front_end": CrystalGNNRegressor("cgcnn", embedding="magpie")}, "embedding='magpie'"),
        ({"front_end": CrystalTransformerRegressor(init_from="old")}, "init_from"),
        ({"front_end": CrystalTransformerRegressor(early_stopping=True)}, "early_stopping"),
        (
            {"front_end": CrystalTransformerRegressor(random_state=np.random.RandomState(0))},
            "random_state to be an int",
        ),
        ({"name": "mp/v1"}, "name='mp/v1' must be usable"),
        ({"validation_fraction": 1}, "validation_fraction=1 must be"),
        ({"validation_fraction": None}, "validation_fraction=None must be"),
        ({"units": {"bandgap": "eV"}}, "units name 'bandgap', which is no target; there are form"),
        ({"units": ["eV"]}, "units must be a dict from target to unit"),
        ({"max_sites": "20"}, "max_sites='20' must be an integer"),
        ({"hold_out_by": "formulla"}, "hold_out_by='formulla' must be \"formula\""),
    ],
)
def test_what_would_spoil_the_card_is_refused_before_training(data, tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run(data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_card_names_features_and_what_is_not_known_of_them(data, tmp_path):
    own = get_table("megnet16")
    own = ElementTable(own.values[own.seen], own.symbols, name="cgcnn")  # not what it is called
    options = {"n": 100, "hold_out": data.structures[:5]}
    mine = "cgcnn (own table)"
    for features, unknown in ((["magpie", own], mine), ("ct-uae-mt", "ct-uae-mt"), ("cgcnn", "")):
        front_end = CrystalTransformerRegressor(**SMALL, element_features=features)
        table = run(data, tmp_path / "out", front_end=front_end, **options).table
        leakage = table.metadata["leakage"]
        assert ("Element features" in leakage) == bool(unknown)
        assert not unknown or f"Element features are from {unknown}: " in leakage
        named = table.metadata["params"]["element_features"]
        assert named == (["magpie", mine] if unknown == mine else features)


def test_names_in_the_card_are_no_markup(data, tmp_path):
    run(
        data, tmp_path, n=60, name='a"|<img>', source="<script>\n# x", licence="[a](b)",
        units={"band_gap": "e|V"}, hold_out={"<b>": data.structures[50:60]},
        validation_fraction=0.2,
    )  # fmt: skip
    card = (tmp_path / "README.md").read_text()
    assert card.startswith('# a"\\|&lt;img&gt;\n')
    assert r'ElementTable.load("a\"|<img>.safetensors")' in card  # code is shown as it is
    assert "- Source: &lt;script&gt; # x\n- Licence: \\[a\\](b)\n" in card
    assert r"| band_gap | e\|V |" in card and "&lt;b&gt; (10 rows)" in card
    assert card.count("<") == 1


def test_no_old_card_stands_beside_a_new_table(data, tmp_path, monkeypatch):
    run(data, tmp_path, n=100, hold_out=data.structures[:50])

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skuae.pretraining._pretrain.model_card", stop)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, n=100)
    assert "held out" not in ElementTable.load(tmp_path / "ct-uae.safetensors").metadata["rows"]
    assert not (tmp_path / "config.json").exists() and not (tmp_path / "README.md").exists()


def test_a_test_set_that_cannot_be_read_is_named(data, tmp_path):
    with pytest.raises(TypeError, match="hold_out, test set 'mine': row 0: got int"):
        run(data, tmp_path, hold_out={"good": data.structures[:5], "mine": [1, 2]})
    with pytest.raises(ValueError, match="hold_out, test set 'none': "):
        run(data, tmp_path, hold_out={"none": []})


def test_two_test_sets_of_one_name_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="rename the set"):
        run(data, tmp_path, hold_out={"hold_out_ids": data.structures[:5]}, hold_out_ids=["x"])


def test_elements_beyond_the_front_end_are_named_by_the_row_of_the_data(data, tmp_path):
    structures = data.structures[:30].to_structures()
    structures[20].replace(0, "Md")
    with pytest.raises(ValueError, match=r"^row 20: .* up to Z=100, the structure has Md"):
        pretrain(structures, data.labels[TARGETS][:30], tmp_path, hold_out=structures[:10])
    with pytest.raises(TypeError, match="front_end is a Ridge"):
        run(data, tmp_path, front_end=Ridge())


def test_nothing_left_to_train_on(data, tmp_path):
    with pytest.raises(ValueError, match=r"0 rows are left to train on, of 300: 300 held out"):
        run(data, tmp_path, hold_out=data.structures)


def test_unknown_in_the_words_of_jarvis(data, tmp_path):
    y = data.labels[TARGETS[:1]][:60].astype(object)
    y.iloc[3, 0] = "na"
    front_end = CrystalTransformerRegressor(**SMALL)
    result = pretrain(
        data.structures[:60], y, tmp_path, front_end=front_end, validation_fraction=0, verbose=0
    )
    assert np.flatnonzero(result.split.eq("no label")).tolist() == [3]
