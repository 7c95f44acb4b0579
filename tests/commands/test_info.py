"""skuae info: what a model, an element table or a data set is."""

import json

import pytest

import skuae
from skuae import CrystalTransformerRegressor, as_crystals
from skuae._hub import find_model
from skuae.cli import main
from skuae.embedding import get_table
from skuae.potentials import CHGNet, CrystalPotential


def facts_on(name, capsys, status=0):
    capsys.readouterr()
    assert main(["info", str(name), "--json", "--quiet"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_model_of_the_command_line(regressor, classifier, capsys):
    facts = facts_on(regressor, capsys)
    assert facts["model"] == "CrystalGNNRegressor" and facts["targets"] == {"en": "eV"}
    assert facts["training rows"] == 30 and facts["epochs"] == 2
    assert facts["versions"]["skuae"] == skuae.__version__
    errors = facts["held-out errors"]["en"]
    noted = json.loads((regressor / "metrics.json").read_text())["errors"]["en"]
    assert errors == noted and {"n", "MAE", "RMSE", "R2"} < set(errors)
    assert facts["element table"] == {"name": "cgcnn-learned", "elements": 100, "columns": 8}
    assert facts_on(classifier, capsys)["classes"] == ["a", "b", "c"]
    assert main(["info", str(regressor)]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    text = ", ".join(f"{key} {errors[key]:.4g}" for key in ("n", "MAE", "RMSE", "R2"))
    text += f", constant MAE {errors['constant']['MAE']:.4g}"
    assert lines["held-out errors of en"].strip() == text
    assert lines["targets"].strip() == "en (eV)"


def test_errors_of_a_shipped_model_have_the_same_names(capsys):
    noted = json.loads((find_model("mp") / "metrics.json").read_text())["errors"]["band_gap"]
    errors = facts_on("mp", capsys)["held-out errors"]["band_gap"]
    assert (errors["MAE"], errors["RMSE"]) == (noted["mae"], noted["rmse"])
    assert errors["constant"] == {"MAE": noted["constant mae"]}


def test_a_model_of_python(toy, tmp_path, capsys):
    front_end = CrystalTransformerRegressor(d_model=16, n_layers=1, n_heads=2, max_epochs=1)
    front_end.fit(toy.structures, toy.target).save_pretrained(tmp_path)
    facts = facts_on(tmp_path, capsys)
    assert facts["training rows"] is None
    assert facts["versions"] == {"skuae": skuae.__version__}
    symbols = {str(e) for s in toy.structures.to_structures() for e in s.composition}
    assert set(facts["training elements"]) == symbols
    assert main(["info", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{len(symbols)}: {' '.join(facts['training elements'])}\n" in out
    assert "\ntraining rows      unknown\n" in out


def test_a_potential(toy, tmp_path, capsys):
    small = CHGNet(dim=8, n_blocks=2, n_radial=5, n_angular=5, n_readout=1, cutoff=4.0)
    model = CrystalPotential(small, max_epochs=2, random_state=0, device="cpu")
    crystals = as_crystals(toy.structures)[:4]
    model.fit(crystals, [{"energy": -3.0 * len(crystal)} for crystal in crystals])
    skuae.save(model, tmp_path / "whole")
    model.save_pretrained(tmp_path / "network")
    for folder in ("whole", "network"):
        facts = facts_on(tmp_path / folder, capsys)
        assert facts["model"] == "CrystalPotential" and facts["back-end"].startswith("CHGNet(")
        assert facts["targets"] == {"energy": "eV"} and "parts" not in facts
        assert facts["epochs"] == 2 and facts["versions"] == {"skuae": skuae.__version__}
        assert facts["training elements"] == list(model.reference_energies_)
        crystals[0].to(filename=str(tmp_path / "a.cif"))
        assert main(["predict", str(tmp_path / folder), str(tmp_path / "a.cif"), "--quiet"]) == 0
        assert "energy (eV)" in capsys.readouterr().out


def test_element_tables(files, capsys):
    table = get_table("magpie")
    table.to_csv("mine.csv")
    (files / "folder").mkdir()
    table.save("folder/mine.safetensors")
    (files / "folder" / "config.json").write_text("{}")
    for name in ("magpie", "mine.csv", "folder"):
        facts = facts_on(name, capsys)
        assert facts["columns"] == table.n_dims
        assert facts["elements"] == list(table.symbols)
    table.save("folder/other.safetensors")
    assert main(["info", "folder"]) == 2
    assert capsys.readouterr().err == (
        "skuae info: folder holds several element tables; give one of folder/mine.safetensors, "
        "folder/other.safetensors\n"
    )


def test_data(cifs, files, capsys):
    facts = facts_on(cifs, capsys)
    assert (facts["rows"], facts["crystals"]) == (30, 30)
    assert facts["sites"] == {"min": 2, "max": 2, "mean": 2}
    assert facts["labels"]["kind"] == {"values": 3, "empty": 0}
    assert facts["labels"]["flag"] == {
        "min": 0,
        "max": 1,
        "mean": pytest.approx(15 / 29),
        "empty": 1,
    }
    assert main(["info", str(cifs), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "  2 to 2, 2.0 on average\n" in out and "  kind: 3 values\n" in out
    assert out.endswith("  flag: 0 to 1, 0.517241 on average, 1 empty\n")
    (files / "t.csv").write_text("file,y\na.cif,1\nbroken.cif,2\n")
    facts = facts_on("t.csv", capsys, status=1)
    assert (facts["rows"], facts["crystals"]) == (2, 1)
    assert facts["labels"] == {"y": {"min": 1, "max": 1, "mean": 1, "empty": 0}}
    (error,) = facts["errors"]
    assert error["id"] == "t.csv row 1" and error["reason"].startswith("it has no atoms")
    assert main(["info", "t.csv", "--quiet"]) == 1
    assert "errors               t.csv row 1: it has no atoms" in capsys.readouterr().out
    assert facts_on("a.cif", capsys)["labels"] == {}
    assert main(["info", "a.cif", "--quiet"]) == 0
    assert "labels               none\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "none",
            "there is no file or folder none, and no model or element table of that name; models "
            "are mp, mp-energy-gap, mp-metal, mp-topology, tables",
        ),
        ("x.safetensors", "x.safetensors is damaged, or was not written by skuae; copy it"),
        ("x.csv", "x.csv has no column of structures"),
        ("empty", "holds no structure files"),
        ("", "there is no file or folder"),
    ],
)
def test_what_is_none_of_these(name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert main(["info", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("skuae info: ") and message in err
