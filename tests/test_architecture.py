"""Imports run downward between the rooms of skuae, and stay out of one another's private files."""

import ast
from pathlib import Path

import pytest

import skuae

PACKAGE = Path(skuae.__file__).parent
# Each room imports from rooms of smaller numbers only. Files of the package itself that begin with
# an underscore are the ground that all rooms stand on.
LEVELS = {
    "ground": 0,
    "crystals": 1,
    "embedding": 2,
    "models": 2,
    "datasets": 2,
    "training": 3,
    "estimators": 4,
    "potentials": 5,
    "featurizers": 6,
    "analysis": 6,
    "matminer": 6,
    "pretrained": 6,
    "pretraining": 6,
    "pipelines": 7,
    "commands": 8,
    "cli": 9,
    "__main__": 10,
}

# What each part of the room analysis may import from; files beside the parts are common to all.
PARTS_OF_ANALYSIS = {
    "tables": set(),
    "models": set(),
    "structures": set(),
    "report": {"tables", "models"},
}


def room_of(parts):
    """Return the room of a module by the parts of its name after ``skuae``."""
    if parts[0] == "__main__":
        return parts[0]
    return "ground" if parts[0].startswith("_") else parts[0]


def files():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "__init__.py":
            yield path


def imports(source):
    """Yield (line, parts of what is imported, after ``skuae``) of all imports from skuae."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *parts = name.split(".")
            if first == "skuae":
                yield node.lineno, parts


def faults(source, room):
    """Yield what is wrong with the imports of a file in a room."""
    for line, parts in imports(source):
        other = room_of(parts) if parts else ""
        if other not in LEVELS:
            yield f"line {line} looks something up through the package's face"
            continue
        if other != room and LEVELS[other] >= LEVELS[room]:
            yield f"line {line} imports {'.'.join(parts)}, which stands above or beside {room}"
        if other not in (room, "ground") and any(part.startswith("_") for part in parts):
            yield f"line {line} imports {'.'.join(parts)}, a private name of another room"


@pytest.mark.parametrize("path", list(files()), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward_and_are_public(path):
    room = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    assert not list(faults(path.read_text(encoding="utf-8"), room))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import skuae", "through the package's face"),
        ("from skuae import Crystals", "through the package's face"),
        ("from skuae.models import CGCNN", "above or beside crystals"),
        ("def f():\n    from skuae.training._net import fit", "above or beside crystals"),
    ],
)
def test_wrong_directions_are_found(source, said):
    assert said in next(faults(source, "crystals"))


@pytest.mark.parametrize(
    "source", ["from skuae.crystals._graphs import search", "from skuae.crystals import _graphs"]
)
def test_private_names_are_found(source):
    assert "a private name of another room" in next(faults(source, "models"))
    assert not list(faults(source, "crystals"))


def test_what_is_right_is_no_fault():
    source = (
        "from skuae._files import write_bytes\nfrom skuae.crystals import Crystals\nimport numpy"
    )
    assert not list(faults(source, "models"))


@pytest.mark.parametrize("part", PARTS_OF_ANALYSIS)
def test_parts_of_analysis_stand_on_their_own(part):
    wrong = []
    for path in sorted((PACKAGE / "analysis" / part).rglob("*.py")):
        for line, (room, *parts) in imports(path.read_text(encoding="utf-8")):
            if room != "analysis" or parts[0] == part or parts[0].startswith("_"):
                continue
            private = any(name.startswith("_") for name in parts)
            if private or parts[0] not in PARTS_OF_ANALYSIS[part]:
                wrong.append(f"{path.name}, line {line} imports {'.'.join(parts)}")
    assert not wrong
