"""The command line dispatches to the commands."""

import pytest

import skuae
from skuae.cli import main
from skuae.commands import pretrain


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"skuae {skuae.__version__}\n"


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "pretrain" in out and "analyze" in out


@pytest.mark.parametrize("arguments", [[], ["train"], ["analyze"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: skuae" in capsys.readouterr().err


@pytest.mark.parametrize("name", pretrain.front_ends())
def test_every_front_end_is_a_choice(name, tmp_path, capsys):
    arguments = ["pretrain", "-o", str(tmp_path), "--front-end", name]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("skuae pretrain: needs DATA")
