"""What pyproject.toml, the pinned versions, the citation and the guides say fits together."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import skuae

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
TOOLS = {"all", "docs", "test"}  # extras that are no feature of their own
PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.]+)")


def requirements(texts):
    """Return {canonical name: Requirement}, without the extras of skuae itself."""
    found = [Requirement(text) for text in texts]
    return {canonicalize_name(one.name): one for one in found if one.name != "skuae"}


def pins(name):
    """Return {canonical name: Version} of a file of constraints, where each line pins one."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    matches = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(matches) and len({canonicalize_name(m["name"]) for m in matches}) == len(matches)
    return {canonicalize_name(m["name"]): Version(m["version"]) for m in matches}


CORE = requirements(PROJECT["dependencies"])
OF_EXTRA = {name: requirements(EXTRAS[name]) for name in EXTRAS}
FEATURES = {name: found for name, found in OF_EXTRA.items() if name not in TOOLS}
# Of what is not installed everywhere, the name of the distribution is not that of the package.
OWNERS = {
    "mace": ["mace-torch"],
    "torch_sim": ["torch-sim-atomistic"],
    **metadata.packages_distributions(),
}
ALL = CORE | {key: one for found in OF_EXTRA.values() for key, one in found.items()}


def test_lowest_versions_are_the_bounds_of_pyproject():
    bounds = CORE | {key: one for found in FEATURES.values() for key, one in found.items()}
    lowest = pins("constraints-lowest.txt")
    assert set(lowest) == set(bounds)
    for name, requirement in bounds.items():
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        if name == "torch":  # CI can install one build only
            assert lowest[name] >= Version(bound.version)
        else:
            assert lowest[name] == Version(bound.version), name


def test_tested_versions_are_allowed_and_all_are_pinned():
    tested = pins("constraints.txt")
    assert set(ALL) <= set(tested)
    for name, requirement in ALL.items():
        assert tested[name] in requirement.specifier, name


def needed(name, extras=()):
    """Yield the canonical names of what an installed distribution needs in this environment."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), tuple(sorted(requirement.extras))


def test_versions_of_what_dependencies_bring_are_pinned():
    tested = set(pins("constraints.txt"))
    left = [(name, tuple(sorted(one.extras))) for name, one in ALL.items()]
    seen, unpinned = set(left), set()
    while left:
        name, extras = left.pop()
        try:
            more = set(needed(name, extras)) - seen
        except metadata.PackageNotFoundError:  # an extra that is not installed here
            continue
        if name not in tested:
            unpinned.add(name)
        seen |= more
        left += more
    assert not unpinned


def test_all_is_all_features():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(FEATURES) - {"mace", "sevennet"}  # GPL and LGPL


def imports(node, guard=None):
    """Yield (distributions, line, innermost try) of each import from outside Python and skuae."""
    names = []
    if isinstance(node, ast.ImportFrom):
        names = [node.module]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    for name in {name.partition(".")[0] for name in names} - {"skuae", *sys.stdlib_module_names}:
        yield {canonicalize_name(owner) for owner in OWNERS.get(name, [name])}, node.lineno, guard
    guard = node if isinstance(node, ast.Try) else guard
    for child in ast.iter_child_nodes(node):
        yield from imports(child, guard)


def named_extras(guard):
    """Return the extras that ``except ImportError`` of a try names."""
    if guard is None:
        return set()
    (handler,) = guard.handlers
    assert ast.unparse(handler.type) == "ImportError" and isinstance(handler.body[-1], ast.Raise)
    return set(re.findall(r'pip install "skuae\[(\w+)\]"', ast.unparse(handler)))


def faults(source):
    """Yield what is wrong with the imports of a file of the package."""
    for owners, line, guard in imports(ast.parse(source)):
        if owners & set(CORE):
            continue
        extras = {name for name, found in FEATURES.items() if owners & set(found)}
        if not extras:
            yield f"line {line} imports {', '.join(owners)}, which pyproject.toml does not name"
        elif not named_extras(guard) & extras:
            yield f"line {line} does not say which extra brings {', '.join(owners)}"


def test_imports_are_dependencies_or_name_their_extra():
    wrong = [
        f"{path.relative_to(ROOT)}, {fault}"
        for path in sorted((ROOT / "skuae").rglob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


GUARDED = """
def read():
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError('pip install "skuae[{}]"') from error
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import pytest", "does not name"),
        ("def f():\n    from pyarrow.parquet import read_schema", "does not say which extra"),
        (GUARDED.format("ase"), "does not say which extra"),
    ],
)
def test_wrong_imports_are_found(source, said):
    assert said in next(faults(source))


def test_right_imports_are_no_fault():
    assert not list(faults(GUARDED.format("parquet") + "import numpy, json, skuae"))


@pytest.mark.parametrize("folder", ["examples", "tests", "tools"])
def test_scripts_import_what_some_extra_brings(folder):
    beside = {path.stem for path in ROOT.glob("*/*.py")} | {"campaign"}
    allowed = {*ALL, *map(canonicalize_name, beside)}
    unknown = []
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        there = {canonicalize_name(name) for name in re.findall(r'importorskip\("(\w+)', text)}
        for owners, line, _ in imports(ast.parse(text)):
            if not owners & (allowed | there):
                unknown.append(f"{path.relative_to(ROOT)}, line {line}")
    assert not unknown


@pytest.mark.parametrize("page", ["README.md", "docs/installation.md"])
def test_extras_are_explained(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    _, _, after = text.partition("Extras")
    assert {f"`{name}`" for name in {*FEATURES, "all"}} <= set(re.findall(r"`\w+`", after))


def test_extras_that_are_named_exist():
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("skuae", "docs", "examples", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".rst"}
        for name in re.findall(r"skuae\[(\w+)\]", path.read_text(encoding="utf-8"))
        if name not in EXTRAS
    }
    assert not unknown


# The keys of version 1.2.0 of the Citation File Format.
CITATION_KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi"),
    *("identifiers", "keywords", "license", "license-url", "message", "preferred-citation"),
    *("references", "repository", "repository-artifact", "repository-code", "title", "type"),
    *("url", "version"),
}


def test_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(citation) <= CITATION_KEYS
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["message"] and citation["title"].startswith("skuae")
    assert citation["version"] == skuae.__version__
    assert set(citation["license"]) == set(PROJECT["license"].split(" AND "))
    assert citation["authors"] == PROJECT["authors"]
    article = citation["preferred-citation"]
    assert article["type"] == "article" and article["title"]
    assert all(set(a) == {"family-names", "given-names"} for a in article["authors"])
    assert all(isinstance(article[key], int) for key in ("volume", "year", "start"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"](https://doi.org/{article['doi']})" in readme


def test_places_of_the_guide_exist():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = [line for line in guide.splitlines() if line.startswith("| `")]
    places = {place for line in table for place in re.findall(r"`([\w./-]+)`", line.split("|")[1])}
    assert not [place for place in places if not (ROOT / place).exists()]
    rooms = {f"skuae/{path.name}" for path in (ROOT / "skuae").iterdir() if path.is_dir()}
    assert rooms - {"skuae/__pycache__"} <= places
