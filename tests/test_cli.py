"""The command line: dispatch, help, exit statuses, and whole sessions as processes."""

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

import skuae
from skuae import cli, crystals
from skuae.cli import main
from skuae.commands import pretrain
from skuae.commands._settings import BACKBONES, LIMITS
from skuae.datasets import make_toy_crystals

ROOT = Path(__file__).parents[1]
COMMANDS = ("train", "predict", "evaluate", "featurize", "info", "pretrain", "analyze")
HEAVY = ("torch", "pandas", "sklearn", "pymatgen", "numpy", "matplotlib")


def process(*arguments, cwd=None, **options):
    """Run ``python -m skuae`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "skuae", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=300, **options,
    )  # fmt: skip


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"skuae {skuae.__version__}\n"


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and all(f"\n    {name}" in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    *_, title, example = capsys.readouterr().out.splitlines()
    assert stop.value.code == 0
    assert title == "example:" and example.startswith(f"  skuae {name} ")
    names = example.replace("*", "x").split()[1:]
    assert vars(cli._parser().parse_args(names))["command"] == name  # it can be parsed


def commands_in(page):
    """Return the commands in the bash blocks of a page, as lists of words."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("skuae ")]


def test_commands_in_the_documentation_can_be_parsed():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [words for page in pages for words in commands_in(page)]
    assert {words[0] for words in found} >= {*COMMANDS} - {"pretrain"}
    for words in found:
        assert cli._parser().parse_args(words).command == words[0]


@pytest.mark.parametrize(
    "arguments", [[], ["fit"], ["analyze"], ["train", "x"], ["predict", "m"], ["featurize", "x"]]
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: skuae" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_options_show_the_usage_of_their_command(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    example = capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit) as stop:
        main([*shlex.split(example)[1:], "--jsn"])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.startswith(f"usage: skuae {name} ")
    assert err.endswith(f"\nskuae {name}: error: unrecognized arguments: --jsn\n")


@pytest.mark.parametrize("jobs", ["0", "-2", "two", "1.5"])
@pytest.mark.parametrize("name", COMMANDS)
def test_jobs_are_one_or_more_or_all_cores(name, jobs, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    example = shlex.split(capsys.readouterr().out.splitlines()[-1])[1:]
    with pytest.raises(SystemExit) as stop:
        main([*example, "--jobs", jobs])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(
        f"skuae {name}: error: argument --jobs: {jobs!r} is no number of processes: "
        "give 1 or more, or -1 for all cores\n"
    )
    assert [cli._parser().parse_args([*example, "--jobs", n]).jobs for n in ("1", "-1")] == [1, -1]


def test_limits_are_raised_for_one_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    toy = make_toy_crystals(1, random_state=0).structures.to_structures()
    toy[0].to(filename="a.json")
    monkeypatch.setattr(crystals.LIMITS, "sites", 1)
    command = ["featurize", "a.json", "-o", "out.csv", "--overwrite", "--quiet"]
    assert main(command) == 1
    n = len(toy[0])
    message = f"sites: {n}, more than 1; if that is right, raise the limit: "
    message += f"skuae.crystals.LIMITS.sites = {n}, or --limit sites={n} in a shell"
    assert message in capsys.readouterr().err
    assert main([*command, "--limit", f"sites={n}"]) == 0
    assert crystals.LIMITS.sites == 1
    more = ["--limit", "sites=9", "--scheduler", "local"]
    assert main([*command, *more]) == 2
    assert "--limit does not reach the workers" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["sites", "sites=0", "sites=x", "atoms=5"])
def test_limits_that_make_no_sense(limit, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["info", "x", "--limit", limit])
    assert stop.value.code == 2
    assert f"{limit!r}: write NAME=N with a name of sites, operations" in capsys.readouterr().err


def test_names_in_the_help_are_those_of_the_registry():
    from skuae.models import BACKBONES as REGISTRY

    assert BACKBONES == tuple(REGISTRY)
    assert LIMITS == tuple(field.name for field in fields(crystals.Limits))
    invariant = [name for name, kind in REGISTRY.items() if kind.invariant]
    assert pretrain.FRONT_ENDS == ("transformer", *invariant)


@pytest.mark.parametrize("name", pretrain.FRONT_ENDS)
def test_every_front_end_is_a_choice(name, tmp_path, capsys):
    arguments = ["pretrain", "-o", str(tmp_path), "--front-end", name]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("skuae pretrain: needs DATA")


def test_the_package_is_the_command():
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, f"skuae {skuae.__version__}\n")


@pytest.mark.parametrize("options", [["--help"], ["train", "--help"], ["--version"]])
def test_nothing_heavy_is_imported_before_a_command_runs(options):
    code = (
        "import sys\nfrom skuae.cli import main\n"
        f"try:\n    main({options})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.slow
def test_a_session_from_a_folder_of_cifs_to_an_evaluation(tmp_path):
    toy = make_toy_crystals(16, random_state=0, as_frame=True)
    (tmp_path / "cifs").mkdir()
    lines = []
    for i, (structure, y) in enumerate(zip(toy.structures, toy.target, strict=True)):
        structure.to(filename=str(tmp_path / f"cifs/c{i}.cif"))
        lines.append(f"c{i},{y}")
    (tmp_path / "cifs/id_prop.csv").write_text("\n".join(lines))
    settings = ["--set", "max_epochs=2", "backbone__n_conv=1"]
    done = process("train", "cifs", "--target", "target", "-o", "m", *settings, cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "12 rows to train on, 4 held out" in done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["target", "4"]

    (tmp_path / "bad.cif").write_text("no crystal")
    files = "cifs/c1.cif\nbad.cif\n"
    done = process("predict", "m", "-", "-o", "out.csv", "--quiet", cwd=tmp_path, input=files)
    assert (done.returncode, done.stdout) == (1, "2 rows -> out.csv\n")
    assert done.stderr.startswith("skuae predict: 1 of 2 rows failed; the first is bad.cif: ")
    assert pd.read_csv(tmp_path / "out.csv")["target_predicted"].notna().tolist() == [True, False]

    done = process("evaluate", "m", "cifs", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:2] == ["target", "16"]


@pytest.mark.slow
def test_an_error_has_no_traceback_and_ends_with_2(tmp_path):
    done = process("predict", "none", "x.cif", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "skuae predict: none holds no model: there is no folder none\n"


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_error():
    command = f"{sys.executable} -m skuae info magpie | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, 141)  # 0 if all fits into the pipe in time


def test_a_pipe_that_breaks_ends_with_141(monkeypatch, tmp_path):
    def stop(args):
        raise BrokenPipeError

    parser = cli._parser()
    parser.parse_args = lambda _: pretrain.argparse.Namespace(command="info", run=stop)
    monkeypatch.setattr(cli, "_parser", lambda: parser)
    with open(tmp_path / "out", "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert main([]) == 141


def test_warnings_are_one_line(capsys, monkeypatch):
    import warnings

    def warn(args):
        warnings.warn("row 3 is odd", stacklevel=1)
        return 0

    parser = cli._parser()
    parser.parse_args = lambda _: pretrain.argparse.Namespace(command="info", run=warn)
    monkeypatch.setattr(cli, "_parser", lambda: parser)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.formatwarning
        monkeypatch.setattr(warnings, "showwarning", lambda m, c, f, n, *_: print(
            warnings.formatwarning(m, c, f, n), end="", file=sys.stderr))  # fmt: skip
        assert main([]) == 0
    assert capsys.readouterr().err == "skuae info: warning: row 3 is odd\n"
    assert warnings.formatwarning is before
