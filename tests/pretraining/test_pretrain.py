import json
import shutil

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback

from skuae import CrystalGNNRegressor, CrystalTransformerRegressor, ElementTable
from skuae.cli import main
from skuae.datasets import formula_groups, load_mp_mini
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
    assert not (tmp_path / "checkpoints").exists()


def test_metrics_are_those_of_the_validation_rows(data, tmp_path):
    result = run(data, tmp_path, validation_fraction=0.2)
    rows = np.flatnonzero(result.split == "validation")
    known = [all(e in result.table for e in c.symbol_set) for c in data.structures[rows]]
    rows = rows[known]  # the front-end refuses elements that it has not seen
    assert len(rows) == result.metrics["n_validation"].iloc[0] > 20
    error = np.abs(result.front_end.predict(data.structures[rows]) - data.target[rows])
    np.testing.assert_allclose(result.metrics["mae"], error.mean(axis=0), rtol=1e-5)
    mean = data.target[:300][result.split == "train"].mean(axis=0)
    spread = np.abs(data.target[rows] - mean).mean(axis=0)
    np.testing.assert_allclose(result.metrics["mae_of_mean"], spread, rtol=1e-5)


def test_a_stopped_run_goes_on_where_it_was(data, tmp_path):
    whole = run(data, tmp_path / "whole")
    front_end = CrystalTransformerRegressor(**SMALL)
    folder = tmp_path / "part"

    class Kill(Exception):
        pass

    class KillAfterEpoch(Callback):
        def on_epoch_end(self, net, **kwargs):
            dict(net.callbacks_)["checkpoint"]._write(net)
            raise Kill

    with pytest.raises(Kill):
        run(data, folder, front_end=front_end.set_params(callbacks=[KillAfterEpoch()]))
    assert list((folder / "checkpoints").iterdir())
    resumed = run(data, folder)
    assert [e["epoch"] for e in resumed.front_end.history_] == [1, 2]
    np.testing.assert_array_equal(resumed.table.values, whole.table.values)


def test_method_two(data, tmp_path):
    front_end = CrystalGNNRegressor("cgcnn", embedding="onehot", max_epochs=1)
    assert run(data, tmp_path, front_end=front_end).table.n_dims == 64


def test_ids(data, tmp_path):
    ids = data.ids[:300]
    result = run(data, tmp_path, hold_out_ids=ids[:30], validation_ids=ids[30:60])
    assert (result.split[:30] == "held out").all()
    assert (result.split[30:60].isin(["validation", "held out"])).all()
    with pytest.raises(ValueError, match="none of the 1 validation_ids"):
        run(data, tmp_path, validation_ids=["mp-0"])


def test_nothing_left_to_train_on(data, tmp_path):
    with pytest.raises(ValueError, match=r"0 rows are left to train on, of 300: 300 held out"):
        run(data, tmp_path, hold_out=data.structures)


@pytest.fixture
def files(data, tmp_path):
    frame = pd.DataFrame(
        [
            {"material_id": name, "structure": s.as_dict()}
            for name, s in zip(data.ids[:200], data.structures[:200], strict=True)
        ]
    )
    frame.to_json(tmp_path / "crystals.json", orient="records")
    labels = data.labels[TARGETS][:200].rename_axis("material_id")
    labels.to_csv(tmp_path / "labels.csv")
    return tmp_path


def command(files, *more, output="out"):
    arguments = ["pretrain", str(files / "crystals.json"), "-o", str(files / output), "--labels",
                 str(files / "labels.csv"), "--targets", *TARGETS, "--quiet", "--set",
                 *(f"{k}={v}" for k, v in SMALL.items())]  # fmt: skip
    return main([*arguments, *more])


def test_command_line(files, capsys):
    (files / "ids.txt").write_text("\n".join(load_mp_mini().ids[:20]))
    assert command(files, "--hold-out-ids", str(files / "ids.txt"), "--units", "eV/atom", "eV") == 0
    assert "ElementTable('ct-uae'" in capsys.readouterr().out
    config = json.loads((files / "out" / "config.json").read_text())
    assert config["rows"]["held out"] >= 20
    assert config["targets"] == {TARGETS[0]: "eV/atom", TARGETS[1]: "eV"}
    # The config that was written repeats the run.
    again = ["pretrain", "--config", str(files / "out" / "config.json"), "-o", str(files / "two")]
    assert main(again) == 0
    first, second = (ElementTable.load(files / f / "ct-uae.safetensors") for f in ("out", "two"))
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--targets", "bandgap"], "no file has the column 'bandgap'"),
        (["--set", "epochs=3"], "epochs"),
        (["--set", "max_epochs"], "write NAME=VALUE"),
        (["--units", "eV"], "1 --units for 2 --targets"),
        (["--hold-out", "none.json"], "no file none.json"),
        (["--config", "labels.csv"], "not a config.json"),
    ],
)
def test_wrong_commands_end_without_a_traceback(files, capsys, monkeypatch, more, message):
    monkeypatch.chdir(files)
    assert command(files, *more) == 2
    assert message in capsys.readouterr().err
    shutil.rmtree(files / "out", ignore_errors=True)
