import builtins
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

from skuae.crystals import as_crystals
from skuae.embedding import ElementTable, get_table, resolve_table, table_names

CORE = ["cgcnn", "magpie", "mat2vec", "megnet16", "onehot", "random", "random16"]
SHAPES = {
    "cgcnn": (100, 92),
    "magpie": (97, 22),
    "mat2vec": (118, 200),
    "megnet16": (89, 16),
    "onehot": (100, 100),
    "random": (118, 128),
    "random16": (118, 16),
}
# upstream shapes, of what skuae does not ship
EXTRA = {
    "cgnf": (100, 90),
    "chemeleon": (87, 512),
    "chgnet": (87, 64),
    "crystallm": (89, 512),
    "mace_mp0": (87, 128),
    "magpie_sc": (97, 22),
    "matscholar": (103, 200),
    "matscibert": (97, 768),
    "mod_petti": (103, 103),
    "oliynyk": (85, 44),
    "oliynyk_sc": (85, 44),
    "orb_v2": (87, 256),
    "sevennet": (87, 128),
    "skipatom": (86, 200),
    "xenonpy": (94, 58),
}


@pytest.fixture
def without_extra(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("elementembeddings"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_shapes_cover_the_registry():
    shipped = {name for name in table_names() if "uae" in name}
    assert set(table_names()) == {*SHAPES, *EXTRA, *shipped}


@pytest.mark.parametrize("name", CORE)
def test_core_tables_need_no_extra(name, without_extra):
    get_table.cache_clear()
    table = get_table(name)
    assert table.name == name
    assert (table.seen.sum(), table.n_dims) == SHAPES[name]
    assert get_table(name) is table


@pytest.mark.parametrize("name", table_names())
def test_table_is_finite_where_it_covers_and_has_a_card(name):
    if name in EXTRA:
        pytest.importorskip("elementembeddings")
        assert (get_table(name).seen.sum(), get_table(name).n_dims) == EXTRA[name]
    table = get_table(name)
    assert np.isfinite(table.values[table.seen]).all()
    assert np.isnan(table.values[~table.seen]).all()
    assert {"H", "O", "Si", "Fe", "U"} - set(table.symbols) == set()
    assert json.loads(json.dumps(table.metadata)) == table.metadata
    if name not in ("onehot", "random", "random16"):
        assert table.metadata["source"]
    # columns of a raw-unit table would drown all others
    spread = np.nanstd(table.values, axis=0)
    if name in ("magpie", "oliynyk", "xenonpy"):
        np.testing.assert_allclose(spread, 1, rtol=1e-4)
        assert table.metadata["standardized"] is True


@pytest.mark.parametrize("name", ["magpie", "mat2vec", "megnet16"])
def test_shipped_cards_say_where_they_come_from(name):
    card = get_table(name).metadata
    assert card["licence"].startswith("MIT")
    assert card["source"].startswith("ElementEmbeddings ")
    assert card["description"] and card["origin"] and card["made_by"]
    assert card["citation"][0].startswith("@article{")


def test_extra_missing_says_what_to_install(without_extra):
    get_table.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "skuae\[embeddings\]"'):
        get_table("skipatom")


@pytest.mark.parametrize("name", ["magpi", "Magpie", "MAGPIE "])
def test_unknown_name_lists_names_and_near_ones(name):
    with pytest.raises(ValueError, match=r"did you mean 'magpie'.*onehot.*\.safetensors"):
        get_table(name)
    with pytest.raises(ValueError, match=r"no element table named 'qwertz'\. Known are"):
        resolve_table("qwertz")


def test_megnet_leaves_out_what_was_never_trained():
    assert not {"Po", "At", "Rn", "Fr", "Ra"} & set(get_table("megnet16").symbols)


# -- resolve_table ------------------------------------------------------------------------------


def test_resolves_names_tables_frames_and_files(tmp_path):
    table = get_table("magpie")
    assert resolve_table("magpie") == (table, None)
    assert resolve_table(table)[0] is table
    resolved, estimator = resolve_table(table.to_frame())
    np.testing.assert_array_equal(resolved.values, table.values)
    assert estimator is None
    table.save(tmp_path / "magpie.safetensors")
    table.to_csv(tmp_path / "magpie.csv")
    for name in ("magpie.safetensors", "magpie.csv"):
        assert resolve_table(tmp_path / name)[0] == table
        assert resolve_table(str(tmp_path / name))[0] == table
    assert resolve_table("magpie", object(), [1.0], sample_weight=[1.0])[0] is table


def test_resolves_an_estimator_by_fitting_a_clone(structures, learner):
    X, y = as_crystals(structures), np.arange(len(structures), dtype=float)
    table, fitted = resolve_table(learner, X, y)
    assert fitted is not learner
    assert not hasattr(learner, "element_table_")
    assert table is fitted.element_table_
    alone = next(s for s in structures if s.composition.reduced_formula == "Fe")
    assert table["Fe"][0] == structures.index(alone)


def test_sample_weight_reaches_the_estimator(structures, learner):
    X, y = as_crystals(structures), np.arange(len(structures), dtype=float)
    weight = np.linspace(1, 3, len(y))
    weighted, _ = resolve_table(learner, X, y, sample_weight=weight)
    plain, _ = resolve_table(learner, X, y)
    assert weighted == learner.fit(X, y, weight).element_table_
    assert weighted != plain


def test_frozen_estimator_gives_the_table_it_has(structures, learner):
    X, y = as_crystals(structures), np.arange(len(structures), dtype=float)
    learner.fit(X, y)
    learner.table_ = None  # as UAETransformer has
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in ((X, -y), ()):
            table, _ = resolve_table(FrozenEstimator(learner), *given)
            assert table is learner.element_table_


def test_refuses_what_is_no_embedding(structures, learner):
    X, y = as_crystals(structures), np.zeros(len(structures))
    with pytest.raises(TypeError, match=r"array needs its elements: ElementTable\(values"):
        resolve_table(np.zeros((3, 4)))
    with pytest.raises(TypeError, match="NoneType"):
        resolve_table(None)
    with pytest.raises(TypeError, match="is the class MeanTargetTable; pass an instance"):
        resolve_table(type(learner), X, y)
    with pytest.raises(TypeError, match=r"fit got \['eval_set'\]"):
        resolve_table("magpie", X, y, eval_set=1)
    with pytest.raises(ValueError, match="pass y to fit"):
        resolve_table(learner, X)
    with pytest.raises(ValueError, match="column 'a' of Fe"):
        resolve_table(pd.DataFrame({"a": [np.nan]}, index=["Fe"]))


def test_estimator_without_a_table(structures):
    from sklearn.dummy import DummyRegressor

    X = as_crystals(structures)
    with pytest.raises(TypeError, match="has no element_table_ after fit"):
        resolve_table(DummyRegressor(), X, np.zeros(len(X)))


def test_every_file_in_tables_is_found():
    from importlib import resources

    folder = resources.files("skuae.embedding") / "tables"
    for file in folder.iterdir():
        if file.name.endswith(".safetensors"):
            table = get_table(file.name.removesuffix(".safetensors"))
            assert isinstance(table, ElementTable)
            assert table.name == file.name.removesuffix(".safetensors")


def test_the_default_table_covers_the_bundled_crystals(mp_mini):
    assert not len(get_table("ct-uae-mt").missing(mp_mini.structures.numbers))
