"""`import skuae` does without torch; names that need it are imported when they are first used."""

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import skuae
from skuae._lazy import lazy_names

LAZY = ("skuae", "skuae.crystals")
# What `import skuae` must not load: each takes long, and many who use skuae need none.
HEAVY = ("torch", "skorch", "matplotlib", "sklearn.cluster", "sklearn.manifold", "sklearn.tree")
FEATURES = """
import skuae.matminer
from skuae.crystals import CrystalGraphs, check_geometry
dir(skuae), dir(skuae.crystals)
data = skuae.datasets.load_mp_mini()
crystals = skuae.as_crystals(data.structures[:20].to_structures())
crystals.graph(5.0, 12), crystals.reduced_graph(5.0, 12, angles=True)
skuae.UAETransformer().fit_transform(crystals)
"""
WITH_TORCH = (
    "from skuae import *; CrystalGNNRegressor, CrystalTransformerRegressor, models, analysis",
    "import skuae; skuae.CrystalGNNRegressor",
    "import skuae; skuae.potentials.CHGNet",
    "import skuae; skuae.models.CGCNN, skuae.analysis.write_report, skuae.estimators",
    "from skuae.crystals import PackedTensors, CrystalBatch, Links, augment, random_orthogonal",
)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code):
    """Return which of the heavy modules are loaded after this code, in a new process."""
    return run(
        f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    ).split()


def test_import_loads_nothing_heavy():
    assert not loaded("import skuae")


def test_crystals_tables_and_features_do_without_torch():
    assert not loaded(FEATURES)


@pytest.mark.parametrize("code", WITH_TORCH)
def test_names_that_need_torch_are_there_at_first_use(code):
    assert "torch" in loaded(code)


def test_pickles_of_estimators_load_in_a_new_process(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(skuae.CrystalGNNRegressor(max_epochs=3)))
    code = f"import pickle; print(pickle.loads(open({str(path)!r}, 'rb').read()).max_epochs)"
    assert run(code) == "3\n"


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_see_the_same_names(package):
    """What is imported under TYPE_CHECKING is what `lazy_names` is given."""
    module = importlib.import_module(package)
    (branch,) = [
        node
        for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    ]
    imported = {
        alias.name: node.module
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (call,) = [node for node in ast.walk(branch) if isinstance(node, ast.Dict)]
    sources = ast.literal_eval(call)
    assert imported == {name: source for source, names in sources.items() for name in names}
    assert set(imported) <= set(dir(module))
    for name, source in imported.items():
        if source == package:
            expected = importlib.import_module(f"{package}.{name}")
        else:
            expected = getattr(importlib.import_module(source), name)
        assert getattr(module, name) is expected
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", LAZY)
def test_names_that_do_not_exist(package):
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing
    with pytest.raises(ImportError, match=f"cannot import name 'nothing' from '{package}'"):
        exec(f"from {package} import nothing")


def test_a_name_is_asked_for_once():
    get, names = lazy_names("skuae", {"skuae.models": ["CGCNN"], "skuae": ["models"]})
    assert "CGCNN" in names() and "Crystals" in names()
    try:
        assert get("CGCNN") is skuae.models.CGCNN
        assert vars(skuae)["CGCNN"] is skuae.models.CGCNN
        assert get("models") is sys.modules["skuae.models"]
    finally:
        del skuae.CGCNN
