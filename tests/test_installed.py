"""The sdist and the wheel hold what they should, and skuae works where only they were installed."""

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
from fresh_environments import ROOT, environment, run

from skuae.datasets import make_toy_crystals

pytestmark = pytest.mark.slow
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist and a wheel from the checkout, and a wheel from the sdist as pip does."""
    folder = tmp_path_factory.mktemp("built")
    pip = (sys.executable, "-m", "pip", "-q")
    requires = PROJECT["build-system"]["requires"]
    run(*pip, "install", "--target", folder / "backend", *requires, cwd=folder)
    build = (sys.executable, "-m", "hatchling", "build", "-d", folder)
    run(*build, cwd=ROOT, PYTHONPATH=str(folder / "backend"))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run(*pip, "wheel", "--no-deps", "-w", folder / "again", sdist, cwd=folder)
    return sdist, wheel, folder / "again" / wheel.name


@pytest.fixture(scope="module")
def python(built):
    """Yield the Python of an environment that has the wheel and what it depends on."""
    with environment("constraints.txt", built[2]) as python:
        yield python


def content(wheel):
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_sdist_holds_the_repository(built):
    with tarfile.open(built[0]) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    folders = {name.partition("/")[0] for name in names}
    assert {"benchmarks", "docs", "examples", "skuae", "tests", "tools"} <= folders
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tracked = {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    assert not tracked - names


def test_wheel_holds_the_package(built):
    names = set(content(built[1]))
    info = next(name for name in names if name.endswith("/METADATA")).removesuffix("METADATA")
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "skuae").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if not name.startswith(info)} == package - {
        "skuae/embedding/tables/LICENSES.md"
    }
    assert "skuae/py.typed" in names
    licences = {name for name in names if "LICENSE" in name}
    assert licences == {f"{info}licenses/{name}" for name in PROJECT["project"]["license-files"]}


def test_wheel_of_the_sdist_is_the_wheel(built):
    assert content(built[1]) == content(built[2])


def test_core_dependencies_do_or_the_extra_is_named(python, tmp_path):
    out = run(python, ROOT / "tests" / "installed_package.py", cwd=tmp_path)
    found = json.loads(out)
    assert not found["there"]  # nothing that an extra brings
    assert not found["wrong"] and not found["silent"]
    assert found["ran"] > 250
    assert set(found["stopped"].values()) <= {"analysis"}
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(found["extras"]) == set(extras)
    assert set(found["needs"]) == set(extras) - {"all", "docs", "test"}


def test_command_line_is_installed(python, tmp_path):
    toy = make_toy_crystals(24, random_state=0)
    folder = tmp_path / "toy"
    folder.mkdir()
    lines = []
    for i, (structure, y) in enumerate(zip(toy.structures, toy.target, strict=True)):
        structure.to(filename=str(folder / f"{i}.cif"))
        lines.append(f"{i},{y}")
    (folder / "id_prop.csv").write_text("\n".join(lines))
    skuae = python.parent / "skuae"
    few = ("--set", "max_epochs=2")
    run(skuae, "train", "toy", "--target", "target", *few, "-o", "model", cwd=tmp_path)
    files = ("toy/0.cif", "toy/1.cif")
    run(skuae, "predict", "model", *files, "-o", "out.csv", cwd=tmp_path)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3
