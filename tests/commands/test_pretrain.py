"""skuae pretrain: files in, a table out, and what it says when that cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skuae import CrystalGNNRegressor, ElementTable
from skuae.cli import main
from skuae.commands import _data
from skuae.datasets import load_mp_mini
from skuae.embedding import get_table
from skuae.training._net import CrystalNet

SMALL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "dim_feedforward": 16, "max_epochs": 2}
TARGETS = ["formation_energy_per_atom", "band_gap"]


@pytest.fixture(scope="module")
def data():
    return load_mp_mini(target=TARGETS)


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
    out = capsys.readouterr().out
    assert "ElementTable('ct-uae'" in out
    config = json.loads((files / "out" / "config.json").read_text())
    head, first, constant, *_ = out.splitlines()  # as skuae train prints them
    assert head.split() == ["n", "MAE", "RMSE", "R2"]
    errors = config["metrics"][TARGETS[0]]
    numbers = [f"{errors[key]:.5g}" for key in ("mae", "rmse", "r2")]
    assert first.split() == [TARGETS[0], "(eV/atom)", str(errors["n_validation"]), *numbers]
    numbers = [f"{errors[key]:.5g}" for key in ("mae_of_mean", "rmse_of_mean")]
    assert constant.split() == [f"{TARGETS[0]},", "constant", str(errors["n_validation"]), *numbers]
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
        (["--set", "epochs=3"], "has no parameter epochs; did you mean max_epochs?"),
        (["--set", "max_epochs"], "write NAME=VALUE"),
        (["--units", "eV"], "give one of --units for each of --targets (--units: 1, --targets: 2)"),
        (["--hold-out", "none.json"], "no file none.json"),
        (["--hold-out", "crystals.json", "sub/crystals.json"], "two --hold-out files are called"),
        (["--labels", "rows.csv"], "rows.csv has none"),
        (["--labels", "others.csv"], "none of the 1 ids in others.csv (such as '007') is in DATA"),
        (["--config", "labels.csv"], "not a config.json"),
        (["--config", "null.json"], "null.json is not a config.json"),
        (["--config", "list.json"], "list.json is not a config.json"),
        (["--config", "none.json"], "--config: there is no file none.json"),
        (["-o", "labels.csv"], "there is a file of that name"),
        (["--front-end", "cgcnn", "--task-weights", "0", "1"], "--task-weights: a graph network"),
        (["--threads", "0"], "--threads 0: at least 1"),
    ],
)
def test_wrong_commands_end_without_a_traceback(files, capsys, monkeypatch, more, message):
    monkeypatch.chdir(files)
    (files / "rows.csv").write_text("band_gap\n1\n")
    (files / "others.csv").write_text("id,band_gap\n007,1\n")
    (files / "null.json").write_text('{"command": null}')
    (files / "list.json").write_text('{"command": ["crystals.json"]}')
    (files / "sub").mkdir()
    shutil.copy("crystals.json", "sub")
    assert command(files, *more) == 2
    assert message in capsys.readouterr().err
    shutil.rmtree(files / "out", ignore_errors=True)


def test_an_option_given_twice_adds_to_the_first(files, capsys):
    for name, rows in (("a", slice(0, 5)), ("b", slice(5, 10))):
        frame = pd.read_json(files / "crystals.json")[rows]
        frame.to_json(files / f"{name}.json", orient="records")
    twice = ["--hold-out", str(files / "a.json"), "--hold-out", str(files / "b.json")]
    assert command(files, *twice, "--set", "n_layers=2") == 0
    config = json.loads((files / "out" / "config.json").read_text())
    assert config["hold_out"] == {"a.json": 5, "b.json": 5}
    assert (config["params"]["n_layers"], config["params"]["d_model"]) == (2, 16)


def test_settings_of_the_backbone(files, capsys):
    graph = ["pretrain", str(files / "crystals.json"), "-o", str(files / "out"), "--labels",
             str(files / "labels.csv"), "--targets", *TARGETS, "--quiet", "--front-end", "cgcnn",
             "--set", "max_epochs=1"]  # fmt: skip
    assert main([*graph, "backbone__cutoff=5"]) == 0
    saved = CrystalGNNRegressor.from_pretrained(files / "out" / "model")
    assert saved.backbone.cutoff == 5
    assert command(files, "backbone__cutoff=5") == 2  # of a transformer
    message = (
        "--set backbone__cutoff: CrystalTransformerRegressor has no parameter backbone; it has"
    )
    assert message in capsys.readouterr().err
    assert main([*graph, "loss__x=5"]) == 2
    message = "--set loss__x: loss='squared_error' has no parameters"
    assert message in capsys.readouterr().err


def test_labels_fill_in_what_data_lack(data, tmp_path):
    frame = pd.DataFrame({"id": ["a", "b", "c"], "y": [1.0, None, None], "full": [4, 5, 6]})
    frame["structure"] = [s.as_dict() for s in data.structures[:3].to_structures()]
    frame.to_json(tmp_path / "crystals.json", orient="records")
    (tmp_path / "one.csv").write_text("id,y,full\na,9,\nb,2,9\n")
    (tmp_path / "two.csv").write_text("id,y\nc,3\nb,9\n")
    labels = [str(tmp_path / name) for name in ("one.csv", "two.csv")]
    options = {"data": [str(tmp_path / "crystals.json")], "targets": ["y"], "labels": labels,
               "quiet": True}  # fmt: skip
    structures, labels = _data.read_data(options)
    assert list(labels.index) == list(structures.ids) == ["a", "b", "c"]
    assert list(labels["y"]) == [1, 2, 3]
    assert list(labels["full"]) == [4, 5, 6]


def test_rows_without_ids_get_no_labels_by_number(data, tmp_path, capsys):
    frame = pd.DataFrame({"structure": [s.as_dict() for s in data.structures[:3].to_structures()]})
    for name in ("a.json", "b.json"):
        frame.assign(y=[1, 2, 3]).to_json(tmp_path / name, orient="records")
    (tmp_path / "labels.csv").write_text("id,y\n0,5\n1,6\n")
    both = [str(tmp_path / name) for name in ("a.json", "b.json")]
    more = ["-o", str(tmp_path / "out"), "--targets", "y", "--quiet"]
    assert main(["pretrain", *both, *more, "--labels", str(tmp_path / "labels.csv")]) == 2
    assert "matched by id, and a DATA file has none" in capsys.readouterr().err
    assert main(["pretrain", both[0], both[0], *more]) == 2
    assert "given twice" in capsys.readouterr().err


def test_files_with_ids_and_without_are_refused(files, capsys):
    frame = pd.read_json(files / "crystals.json", convert_axes=False)[["structure"]]
    frame.assign(band_gap=1.0).to_json(files / "nameless.json", orient="records")
    names = [str(files / name) for name in ("crystals.json", "nameless.json")]
    assert main(["pretrain", *names, "-o", str(files / "out"), "--targets", "y", "--quiet"]) == 2
    assert "nameless.json has no ids, and other DATA files have" in capsys.readouterr().err


def test_an_id_in_two_files_is_refused(files, capsys):
    shutil.copy(files / "crystals.json", files / "copy.json")
    names = [str(files / name) for name in ("crystals.json", "copy.json")]
    assert main(["pretrain", *names, "-o", str(files / "out"), "--targets", "y", "--quiet"]) == 2
    assert "; keep it in one of them" in capsys.readouterr().err


def test_ids_of_a_spreadsheet(tmp_path):
    (tmp_path / "ids.txt").write_text("\ufeffmp-1\r\nmy crystal \r\n\r\n", encoding="utf-8")
    assert _data.read_ids(tmp_path / "ids.txt") == ["mp-1", "my crystal"]
    (tmp_path / "ids.txt").write_text("mp-1", encoding="utf-16")
    with pytest.raises(ValueError, match=r"ids\.txt is not UTF-8 text"):
        _data.read_ids(tmp_path / "ids.txt")
    (tmp_path / "ids.txt").write_text("mp-1, mp-2\n")
    with pytest.raises(ValueError, match=r"ids\.txt has one line, 'mp-1, mp-2'; write one id"):
        _data.read_ids(tmp_path / "ids.txt")


def test_a_config_says_the_same_from_any_folder_and_of_other_targets(files, monkeypatch):
    monkeypatch.chdir(files)
    get_table("megnet16").to_csv("mine.csv")
    settings = SMALL | {"readout": "first", "element_features": '["mine.csv","cgcnn"]'}
    arguments = ["pretrain", "crystals.json", "-o", "out", "--labels", "labels.csv", "--targets",
                 *TARGETS, "--units", "eV/atom", "eV", "--task-weights", "1", "2", "--quiet",
                 "--set", *(f"{k}={v}" for k, v in settings.items())]  # fmt: skip
    assert main(arguments) == 0
    (files / "elsewhere").mkdir()
    monkeypatch.chdir(files / "elsewhere")
    config = ["pretrain", "--config", str(files / "out" / "config.json")]
    assert main([*config, "-o", "two", "--targets", "band_gap"]) == 0
    assert json.loads(Path("two/config.json").read_text())["targets"] == {"band_gap": ""}
    # What is set anew is set beside the rest, unless that is of another front-end.
    assert main([*config, "-o", "three", "--set", "max_epochs=1"]) == 0
    params = json.loads(Path("three/config.json").read_text())["params"]
    assert (params["max_epochs"], params["d_model"], params["readout"]) == (1, 16, "first")
    assert main([*config, "-o", "four", "--front-end", "cgcnn", "--set", "max_epochs=1"]) == 0


def test_what_is_given_wins_over_the_config(files):
    (files / "ids.txt").write_text("\n".join(load_mp_mini().ids[:20]))
    one = ["--validation-ids", str(files / "ids.txt"), "--random-state", "3"]
    assert command(files, *one) == 0
    again = ["pretrain", "--config", str(files / "out" / "config.json"), "-o", str(files / "two"),
             "--validation-fraction", "0.5", "--set", "random_state=7"]  # fmt: skip
    assert main(again) == 0
    config = json.loads((files / "two" / "config.json").read_text())
    assert config["rows"]["validation"] > 50 and config["random_state"] == 7
    assert "validation_ids" not in config["command"]


def test_ctrl_c_ends_with_130_and_no_table(files, monkeypatch, capsys, recwarn):
    def stop(net, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CrystalNet, "fit_loop", stop)
    assert command(files) == 130
    assert not recwarn  # that a model is kept
    assert "stopped after 0 of 2 epochs, and no table was written" in capsys.readouterr().err
    assert not (files / "out" / "ct-uae.safetensors").exists()


def test_ctrl_c_that_says_nothing(files, monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_data, "read_data", stop)
    assert command(files) == 130
    assert capsys.readouterr().err == "\nskuae pretrain: stopped\n"
