"""Tables and reports that are there: kept, unless --overwrite is given."""

import json

import pytest

from skuae import ElementTable
from skuae.cli import main

SMALL = ["max_epochs=1", "d_model=16", "n_layers=1", "n_heads=2", "dim_feedforward=16"]


def pretrain(data, *more):
    arguments = ["pretrain", str(data), "-o", "t", "--quiet", *more]
    return main([*arguments, "--set", *SMALL])


@pytest.fixture
def finished(cifs, files, capsys):
    """A finished run in the folder t."""
    assert pretrain(cifs, "--targets", "en") == 0
    capsys.readouterr()
    return files / "t"


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--targets", "en", "flag"], "(--targets)"),
        (["--targets", "en", "--name", "other"], "(--name)"),
        (["--targets", "en", "--max-sites", "9", "--set", "lr=0.1"], "(--max-sites, --set)"),
    ],
)
def test_the_table_of_another_run_is_kept(cifs, finished, capsys, more, what):
    before = content(finished)
    assert pretrain(cifs, *more) == 2
    assert capsys.readouterr().err == (
        f"skuae pretrain: t holds a finished table with other settings {what}; give another "
        "folder, or pass --overwrite\n"
    )
    assert content(finished) == before


def test_a_table_of_other_data_is_kept(cifs, finished, capsys):
    assert pretrain(cifs / "id_prop.csv", "--targets", "en") == 2
    assert "t holds a finished table with other settings (DATA); give" in capsys.readouterr().err


def test_the_same_run_may_be_repeated(cifs, finished):
    before = content(finished)
    assert pretrain(cifs, "--targets", "en", "--jobs", "1") == 0
    assert content(finished)["ct-uae.safetensors"] == before["ct-uae.safetensors"]


def test_overwriting_leaves_nothing_of_the_older_table(cifs, finished):
    assert pretrain(cifs, "--targets", "en", "--name", "other", "--overwrite") == 0
    assert [file.name for file in finished.glob("*.safetensors")] == ["other.safetensors"]
    assert json.loads((finished / "config.json").read_text())["name"] == "other"
    assert ElementTable.load(finished / "other.safetensors").name == "other"
    assert "overwrite" not in json.loads((finished / "config.json").read_text())["command"]


def test_a_table_of_python_is_kept(cifs, finished, capsys):
    config = json.loads((finished / "config.json").read_text())
    del config["command"]
    (finished / "config.json").write_text(json.dumps(config, indent=2))
    assert pretrain(cifs, "--targets", "en") == 2
    assert "t holds a finished table that was learned in Python; give" in capsys.readouterr().err


def test_a_table_without_a_run_is_kept(cifs, files, capsys):
    (files / "t").mkdir()
    (files / "t" / "ct-uae.safetensors").write_bytes(b"mine")
    assert pretrain(cifs, "--targets", "en") == 2
    assert "t/ct-uae.safetensors is there already; give another name" in capsys.readouterr().err
    assert (files / "t" / "ct-uae.safetensors").read_bytes() == b"mine"


def test_a_report_is_kept(files, capsys, monkeypatch):
    written = []
    monkeypatch.setattr("skuae.analysis.write_report", lambda *args, **_: written.append(args))
    (files / "report").mkdir()
    (files / "report" / "report.html").write_text("mine")
    command = ["analyze", "magpie", "-o", "report", "--quiet"]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "skuae analyze: report/report.html is there already; give another name, or pass "
        "--overwrite\n"
    )
    with pytest.raises(AttributeError):  # of the report that is not made
        main([*command, "--overwrite"])
    assert written == [("magpie", "report")]
