"""Back-ends that a user writes, from the page of the documentation: trained, searched, saved."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skuae import CrystalGNNClassifier, CrystalGNNRegressor
from skuae.analysis import attribute_atoms
from skuae.models import CGCNN, check_backbone
from skuae.models._backbone import SPECIFICATIONS

PAGE = (Path(__file__).parents[2] / "docs/add_a_backend.md").read_text(encoding="utf-8")
FAST = {"max_epochs": 2, "batch_size": 8, "device": "cpu", "random_state": 0}


def code(caption):
    pattern = rf"```\{{code-block\}} python\n:caption: {re.escape(caption)}\n\n(.*?)```"
    (block,) = re.findall(pattern, PAGE, flags=re.DOTALL)
    return block


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the modules of the page, from which they are imported."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "my_backend.py").write_text(code("my_backend.py"))
    nested = "import torch\nfrom torch import nn\n\nfrom my_backend import Backbone, CrystalModule"
    nested += ", Inputs, Neighborhood\nfrom skuae.models import check_backbone\n\n"
    (folder / "my_nested.py").write_text(nested + code("nested"))
    sys.path.insert(0, str(folder))
    get_reusable_executor().shutdown(wait=True)  # workers of earlier tests do not know the folder
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def own(folder):
    return importlib.import_module("my_backend").Neighborhood


@pytest.fixture(scope="module")
def nested(folder):
    return importlib.import_module("my_nested").WithVolume


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for caption in ("my_backend.py", "check", "use", "nested", "layers"):
        exec(compile(code(caption), caption, "exec"), names)
    assert names["model"].predict(names["toy"].structures).shape == (40,)
    lines = code("my_backend.py").rstrip().splitlines()
    assert len([line for line in lines if line.strip()]) <= 45


@pytest.mark.parametrize("inner", [None, "own", "cgcnn"])
def test_trains_and_comes_back(own, nested, X, y, inner, tmp_path):
    spec = own(width=8)
    if inner is not None:
        spec = nested(spec if inner == "own" else CGCNN(atom_dim=8, n_conv=1), hidden_dim=4)
    gnn = CrystalGNNRegressor(spec, embedding="ct-uae-mt", **FAST).fit(X, y)
    gnn.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.predict(X), gnn.predict(X))
    assert again.element_table_ == gnn.element_table_
    assert repr(again.backbone) == repr(spec)
    names = [name for name in gnn.net_.module_.state_dict() if "elements" in name]
    assert len(names) == 1


def test_a_nested_back_end_is_searched(own, nested, X, y):
    gnn = CrystalGNNClassifier(nested(own(width=8), hidden_dim=4), embedding="magpie", **FAST)
    grid = {"backbone__inner__width": [4, 6], "backbone__hidden_dim": [3, 4]}
    search = GridSearchCV(gnn, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y > np.median(y))
    best = search.best_estimator_
    assert best.network_.backbone.inner.width == search.best_params_["backbone__inner__width"]
    assert gnn.backbone.inner.width == 8


def test_transfer_compares_what_is_inside(own, nested, X, y):
    gnn = CrystalGNNRegressor(nested(own(width=8)), embedding="magpie", **FAST).fit(X, y)
    start = {"lr": 0.0, "max_epochs": 1, "batch_size": 8, "device": "cpu", "random_state": 1}
    for spec, same in ((nested(own(width=8)), True), (nested(own(width=6)), False)):
        other = CrystalGNNRegressor(spec, init_from=gnn, **start)
        if same:
            old, new = (m.net_.module_.state_dict() for m in (gnn, other.fit(X, y)))
            assert all(old[k].equal(new[k]) for k in old if "hidden" in k or "layers" in k)
        else:
            with pytest.raises(ValueError, match="the model to start from has backbone WithVolume"):
                other.fit(X, y)


def test_a_wrong_parameter_inside_is_told(own, nested, X, y):
    with pytest.raises(ValueError, match="width must be at least 1; got 0"):
        CrystalGNNRegressor(nested(own(width=0)), **FAST).fit(X, y)


def test_a_checkpoint_knows_what_is_inside(own, nested, X, y, tmp_path):
    for width in (4, 6):
        gnn = CrystalGNNRegressor(nested(own(width=width)), checkpoint_dir=tmp_path, **FAST)
        gnn.fit(X, y)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_script_saves_what_another_process_loads(folder, tmp_path, X, y):
    """A class of a script is of ``__main__`` there, and of a module where it is imported."""
    use = (
        "\nfrom skuae import CrystalGNNRegressor\nfrom skuae.datasets import make_toy_crystals\n"
        "toy = make_toy_crystals(8, random_state=0)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        (folder / "my_backend.py").read_text() + "\n\nif __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in use.splitlines())
        + f"    gnn = CrystalGNNRegressor(Neighborhood(width=4), **{FAST!r})\n"
        "    gnn.fit(toy.structures, toy.target).save_pretrained('model')\n"
        "    print(gnn.predict(toy.structures).tolist())\n"
    )  # fmt: skip
    load = (
        "gnn = CrystalGNNRegressor.from_pretrained('model', device='cpu')\n"
        "print(gnn.predict(toy.structures).tolist())"
    )

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    saved = run("script.py")
    assert saved.returncode == 0, saved.stderr
    assert run("-c", f"import script{use}{load}").stdout == saved.stdout
    refused = run("-c", use + load)
    assert "the model has the back-end Neighborhood of __main__" in refused.stderr
    assert "import the module that defines it first" in refused.stderr


def test_a_class_of_another_module_is_not_taken(own, X, y, tmp_path):
    """Two modules may each have a back-end called Net: weights of one say nothing in the other."""
    ours, theirs = (type("Net", (own,), {"__module__": name}) for name in ("ours", "theirs"))
    gnn = CrystalGNNRegressor(ours(width=4), **FAST).fit(X, y)
    gnn.save_pretrained(tmp_path)
    load = CrystalGNNRegressor.from_pretrained
    assert type(load(tmp_path, device="cpu").network_.backbone) is ours
    SPECIFICATIONS["Net"].remove(ours)
    with pytest.raises(ValueError, match="back-end Net of ours, which is not defined here"):
        load(tmp_path)
    assert theirs in SPECIFICATIONS["Net"]


def test_a_class_that_is_defined_again_goes_on(own, X, y):
    """As when a cell of a notebook runs twice."""
    first, again = (type("Cell", (own,), {"__module__": "notebook"}) for _ in range(2))
    gnn = CrystalGNNRegressor(first(width=4), warm_start=True, **FAST).fit(X, y)
    gnn.set_params(backbone=again(width=4)).fit(X, y)
    with pytest.raises(ValueError, match="the model to start from has backbone"):
        gnn.set_params(backbone=again(width=5)).fit(X, y)


@pytest.mark.parametrize("case", ["exact", "own embed", "deep head"])
def test_attribution_is_exact_only_where_it_is(own, X, y, case):
    module = sys.modules["my_backend"].NeighborhoodModule

    class Other(module):
        def __init__(self, spec, elements, n_outputs):
            super().__init__(spec, elements, n_outputs)
            if case == "deep head":
                self.head = nn.Sequential(self.head, nn.Tanh())

        if case == "own embed":

            def embed(self, batch):
                return 2 * super().embed(batch)

    class Spec(own):
        def build(self, elements, n_outputs):
            return Other(self, elements, n_outputs)

    gnn = CrystalGNNRegressor(Spec(width=4), embedding="magpie", **FAST).fit(X, y)
    found = attribute_atoms(gnn, X[:4])
    assert found.method == ("exact" if case == "exact" else "occlusion")
    np.testing.assert_allclose(found.predictions, gnn.predict(X[:4]), rtol=1e-5)


def test_a_class_of_a_known_name_is_its_own(X, y, tmp_path):
    """A user's CGCNN is not taken for that of skuae."""
    ours = CGCNN
    theirs = type("CGCNN", (ours,), {"__module__": "mine", "default_lr": 1e-3})
    gnn = CrystalGNNRegressor(theirs(atom_dim=8, n_conv=1), **FAST).fit(X, y)
    gnn.save_pretrained(tmp_path)
    again = CrystalGNNRegressor.from_pretrained(tmp_path, device="cpu")
    assert type(again.network_.backbone) is theirs
    assert again.net_.lr == 1e-3
    assert type(CrystalGNNRegressor(ours(8, 1), **FAST).fit(X, y).network_.backbone) is ours


def test_the_contract_is_kept(own, nested):
    check_backbone(clone(own(width=4)))
    check_backbone(nested(nested(own(width=4)), hidden_dim=3))
