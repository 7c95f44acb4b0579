import subprocess
import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from skuae.analysis import cluster_elements, map_elements
from skuae.analysis.tables._communities import find_communities, neighbor_graph
from skuae.analysis.tables._controls import CONTROLS, make_control
from skuae.embedding import ElementTable
from skuae.estimators import CrystalGNNRegressor

QUICK = {"k_range": range(2, 6), "n_seeds": 2}


@pytest.mark.parametrize("space", ["umap", "pca", "table"])
@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_three_blobs(blobs, method, space):
    if space == "umap":
        pytest.importorskip("umap")
    table, truth = blobs
    result = cluster_elements(table, method=method, space=space, controls=False, **QUICK)
    assert result.n_clusters == result.k_silhouette == result.k_elbow == 3
    assert adjusted_rand_score(result.labels, truth) == 1
    assert (result.ari == 1).all(axis=None)
    if method == "hierarchical" and space != "umap":  # no chance, nothing to agree with
        assert result.ari.shape == (1, 1) and result.stability.isna().all()
        assert result.labels_per_seed.shape == (60, 1)
    else:
        assert result.ari.shape == (2, 2) and (result.stability == 1).all()
    assert result.labels_per_seed.eq(result.labels, axis=0).all(axis=None)
    assert list(result.labels.index) == table.symbols
    assert result.labels.iloc[0] == 0
    assert result.coordinates.shape == (60, 2)


@pytest.mark.parametrize("method", ["louvain", "leiden"])
def test_three_blobs_are_communities(blobs, method):
    if method == "leiden":
        pytest.importorskip("graspologic_native")
    table, truth = blobs
    for n_clusters in (None, 3):
        result = cluster_elements(table, method=method, n_clusters=n_clusters, n_seeds=3)
        assert result.space == "table"
        assert adjusted_rand_score(result.labels, truth) == 1
        modularity = result.curves.groupby("data")["modularity"].mean()
        assert modularity["table"] > modularity[["random", "gaussian"]].max() + 0.1


@pytest.mark.parametrize("method", ["louvain", "leiden"])
def test_planted_graph(method):
    if method == "leiden":
        pytest.importorskip("graspologic_native")
    planted = nx.planted_partition_graph(3, 20, p_in=0.6, p_out=0.03, seed=0)
    graph = csr_array(nx.to_scipy_sparse_array(planted, dtype=float))
    labels, modularity = find_communities(graph, method, seed=0)
    truth = np.repeat([0, 1, 2], 20)
    assert adjusted_rand_score(labels, truth) == 1
    blocks = [set(np.flatnonzero(truth == c)) for c in range(3)]
    assert modularity == pytest.approx(nx.community.modularity(planted, blocks))


@pytest.mark.parametrize("method", ["louvain", "leiden"])
@pytest.mark.parametrize("n_communities", [None, 3, 6])
def test_communities_are_connected(method, n_communities):
    if method == "leiden":
        pytest.importorskip("graspologic_native")
    points = np.random.default_rng(0).normal(size=(80, 20))
    graph = neighbor_graph(points, n_neighbors=6)
    labels, _ = find_communities(graph, method, 0, n_communities)
    assert n_communities in (None, labels.max() + 1)
    whole = nx.from_scipy_sparse_array(graph)
    for label in np.unique(labels):
        assert nx.is_connected(whole.subgraph(np.flatnonzero(labels == label)))


def test_impossible_number_of_communities(blobs):
    with pytest.raises(ValueError, match="no resolution gives 2 communities"):
        cluster_elements(blobs[0], method="louvain", n_clusters=2, n_seeds=1)


def test_neighbor_graph_is_symmetric_and_falls_with_distance():
    graph = neighbor_graph(np.array([[0.0], [1.0], [3.0], [7.0]]), n_neighbors=1).toarray()
    assert (graph == graph.T).all()
    assert graph[0, 1] > graph[1, 2] > graph[2, 3] > 0
    assert graph[0, 2] == graph[0, 3] == 0
    equal = neighbor_graph(np.zeros((5, 2)), n_neighbors=2)
    assert np.isfinite(equal.data).all()


@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_inertia_never_grows_with_k(method):
    rows = np.random.default_rng(1).normal(size=(50, 6))
    table = ElementTable(rows, range(1, 51), name="noise")
    curves = cluster_elements(table, method=method, **QUICK, space="table").curves
    for _, curve in curves.groupby(["data", "seed"]):
        assert (curve.sort_values("k")["inertia"].diff().dropna() <= 1e-9).all()
    runs = curves.groupby("data")["seed"].nunique().to_dict()
    assert runs == {"table": 2 if method == "kmeans" else 1, **dict.fromkeys(CONTROLS, 2)}
    assert len(curves) == sum(runs.values()) * 4


def test_scores_are_those_of_the_definition(blobs):
    table, truth = blobs
    result = cluster_elements(table, space="table", controls=False, n_clusters=3, **QUICK)
    rows = table.values[table.seen].astype(float)
    within = sum(((rows[truth == c] - rows[truth == c].mean(0)) ** 2).sum() for c in range(3))
    three = result.curves[result.curves["k"] == 3]
    np.testing.assert_allclose(three["inertia"], within)
    np.testing.assert_allclose(three["silhouette"], three["silhouette_table"])


def test_same_seed_same_result_in_any_number_of_processes(blobs):
    table, _ = blobs
    one, two, other = (
        cluster_elements(table, space="pca", random_state=s, n_jobs=n, n_clusters=5, **QUICK)
        for s, n in ((7, None), (7, 2), (8, None))
    )
    pd.testing.assert_frame_equal(one.curves, two.curves)
    pd.testing.assert_frame_equal(one.labels_per_seed, two.labels_per_seed)
    assert not one.curves.equals(other.curves)


def test_umap_layout_depends_on_the_seed_alone(blobs):
    pytest.importorskip("umap")
    table, _ = blobs
    one, two, other = (map_elements(table, random_state=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, two)
    assert not np.allclose(one, other)
    assert list(one.columns) == ["UMAP 1", "UMAP 2"]
    pd.testing.assert_frame_equal(map_elements("onehot"), map_elements("onehot"))


def test_leiden_is_the_same_in_another_process():
    pytest.importorskip("graspologic_native")
    code = (
        "from skuae.analysis import cluster_elements\n"
        "r = cluster_elements('magpie', method='leiden', n_seeds=2, controls=False)\n"
        "print(r.labels_per_seed.to_numpy().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = cluster_elements("magpie", method="leiden", n_seeds=2, controls=False)
    assert done.stdout.strip() == str(here.labels_per_seed.to_numpy().tolist())


@pytest.mark.parametrize(("rank", "exact"), [(32, True), (40, False)])
def test_32_components_hold_what_has_32_dimensions(rank, exact):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(89, rank)) @ rng.normal(size=(rank, 128))
    table = ElementTable(rows, range(1, 90), name="low rank")
    settings = {"method": "hierarchical", "controls": False, **QUICK}
    reduced = cluster_elements(table, space="pca", **settings)
    full = cluster_elements(table, space="table", **settings)
    assert reduced.explained_variance_ratio.shape == (32,)
    # 89 centred rows of rank 32 are exact; the inertia says the same of all distances.
    share = reduced.explained_variance_ratio.sum()
    assert (abs(share - 1) < 1e-9) == exact
    same = np.allclose(reduced.curves["inertia"], full.curves["inertia"], rtol=1e-5)
    assert same == exact


def test_one_vector_for_all_has_no_map_and_no_classes():
    table = ElementTable(np.ones((20, 3)), range(1, 21), name="flat")
    for analyse in (cluster_elements, map_elements):
        with pytest.raises(ValueError, match="table 'flat' has one vector for all elements"):
            analyse(table)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_map_keeps_blobs_apart(blobs, method):
    table, truth = blobs
    points = map_elements(table, method)
    assert list(points.index) == table.symbols
    centres = np.stack([points[truth == c].mean() for c in range(3)])
    nearest = np.linalg.norm(points.to_numpy()[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == truth).all()


def test_small_and_narrow_tables():
    table = ElementTable(np.arange(6.0)[:, None] ** 2, range(1, 7), name="line")
    for method in ("tsne", "pca"):
        assert np.isfinite(map_elements(table, method)).all(axis=None)
    assert cluster_elements(table, space="table", k_range=[2, 3], controls=False).n_clusters == 2
    with pytest.raises(ValueError, match="'line' covers 6 elements; this needs 11"):
        cluster_elements(table)


def test_controls_keep_what_they_promise():
    rng = np.random.default_rng(0)
    rows = rng.normal(3, [1, 2, 5], size=(4000, 3)) @ [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    made = {kind: make_control(rows, kind, 0) for kind in CONTROLS}
    np.testing.assert_array_equal(np.sort(made["permuted"], 0), np.sort(rows, 0))
    assert abs(np.corrcoef(made["permuted"].T)[0, 1]) < 0.05
    assert made["random"].mean() == pytest.approx(rows.mean(), abs=0.1)
    assert made["random"].std() == pytest.approx(rows.std(), rel=0.05)
    sample = make_control(rows[:500], "gaussian", 0)
    np.testing.assert_allclose(np.cov(sample.T), np.cov(rows[:500].T), rtol=0.3, atol=0.5)
    for kind, first in made.items():
        if kind != "gaussian":
            np.testing.assert_array_equal(first, make_control(rows, kind, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "dbscan"}, "choose from kmeans, hierarchical, louvain, leiden"),
        ({"space": "tsne"}, "choose from umap, pca, table"),
        ({"n_seeds": 0}, "n_seeds=0; at least 1"),
        ({"n_clusters": 1}, "n_clusters=1; at least 2"),
        ({"k_range": [1, 2]}, "from 2 upwards"),
        ({"k_range": []}, "from 2 upwards"),
        ({"n_clusters": 60}, "covers 60 elements; this needs 61"),
    ],
)
def test_refuses(blobs, settings, message):
    with pytest.raises(ValueError, match=message):
        cluster_elements(blobs[0], **settings)


def test_what_a_table_may_be(blobs, tmp_path):
    table, _ = blobs
    table.save(tmp_path / "blobs.safetensors")
    for given in (table.to_frame(), tmp_path / "blobs.safetensors"):
        pd.testing.assert_frame_equal(map_elements(given, "pca"), map_elements(table, "pca"))
    with pytest.raises(TypeError, match="pass its element_table_"):
        map_elements(CrystalGNNRegressor())
    with pytest.raises(ValueError, match="choose from umap, tsne, pca"):
        map_elements(table, "isomap")


@pytest.mark.parametrize(
    ("module", "call"),
    [("umap", {}), ("graspologic_native", {"method": "leiden"})],
)
def test_says_what_to_install(blobs, module, call, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "skuae\[analysis\]"'):
        cluster_elements(blobs[0], **call)


def test_does_without_extras(blobs, monkeypatch):
    for module in ("umap", "graspologic_native"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'map_elements.table, "pca".* space="pca" or "table"'):
        map_elements(blobs[0])
    assert map_elements(blobs[0], "pca").shape[1] == 2
    cluster_elements(blobs[0], space="pca", k_range=[2], n_seeds=1, controls=False)
