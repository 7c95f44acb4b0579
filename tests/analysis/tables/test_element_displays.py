import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from skuae._elements import SYMBOLS
from skuae.analysis import (
    ClusterCurveDisplay,
    ElementMapDisplay,
    PeriodicTableDisplay,
    SimilarityDisplay,
    cluster_elements,
)
from skuae.analysis._style import UNSEEN, class_colors, text_color
from skuae.analysis.tables._element_map import place_labels
from skuae.embedding import ElementTable, get_table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result(blobs):
    return cluster_elements(blobs[0], space="pca", k_range=range(2, 6), n_seeds=2)


def colors_of(display):
    return {symbol: to_hex(cell.get_facecolor()) for symbol, cell in display.cells_.items()}


def test_periodic_table_of_classes(result):
    display = PeriodicTableDisplay.from_labels(result.labels).plot()
    colors = colors_of(display)
    assert list(colors) == list(SYMBOLS)
    assert UNSEEN == "#cccccc"
    assert {s for s, color in colors.items() if color == UNSEEN} == {*SYMBOLS} - {
        *result.labels.index
    }
    palette = [to_hex(color) for color in class_colors(3)]
    assert all(colors[symbol] == palette[c] for symbol, c in result.labels.items())
    corners = {cell.get_xy() for cell in display.cells_.values()}
    assert len(corners) == 118
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["0", "1", "2", "no class"]
    assert display.ax_.get_legend().get_title().get_text() == "class"


def test_places_of_the_periodic_table():
    cells = PeriodicTableDisplay.from_values({"H": 1, "He": 2}).plot().cells_
    places = {symbol: tuple(np.round(cell.get_center(), 6)) for symbol, cell in cells.items()}
    assert places["H"] == (1, 1)
    assert places["He"] == (18, 1)
    assert places["Na"] == (1, 3)
    assert places["Fe"] == (8, 4)
    assert places["Hf"] == (4, 6)
    assert places["Og"] == (18, 7)
    assert places["La"][1] == places["Lu"][1] > 7.5
    assert places["Ac"][1] == places["Lr"][1] > places["La"][1]
    assert places["Lu"][0] - places["La"][0] == 14


def test_periodic_table_of_values():
    display = PeriodicTableDisplay.from_values(pd.Series({"Na": 1.0, "Cl": 3.0, "Fe": np.nan}))
    colors = colors_of(display.plot(cmap="gray", vmin=1, vmax=5))
    assert (colors["Na"], colors["Cl"]) == ("#000000", "#808080")
    assert colors["Fe"] == colors["O"] == UNSEEN
    _, ax = plt.subplots()
    assert display.plot(ax).ax_ is ax
    assert display.figure_ is ax.figure


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Xx": 1}, "'Xx' is not an element"),
        ({"Fe": 1, 26: 2}, "Fe has several values"),
        ({"Fe": np.nan}, "all are missing"),
        ({"Fe": "metal"}, "classes go to from_labels"),
        ({"Fe": 1j}, "got complex ones"),
        ({"Fe": np.inf}, "of Fe is infinite"),
    ],
)
def test_periodic_table_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        PeriodicTableDisplay.from_values(values)


def test_class_colors_differ_and_none_is_the_grey():
    for n in (1, 3, 7, 8, 12):
        colors = [to_hex(color) for color in class_colors(n)]
        assert len({*colors, UNSEEN}) == n + 1
    assert text_color("#000000") == "white"
    assert text_color("#ffffff") == "black"


def overlaps(boxes):
    return [(a, b) for a in boxes for b in boxes if a < b and boxes[a].overlaps(boxes[b])]


@pytest.mark.parametrize("figsize", [(8, 6.5), (5, 4)])
@pytest.mark.parametrize("name", ["ct-uae-mt", "magpie"])
def test_labels_of_the_map_do_not_overlap(name, figsize):
    labels = pd.Series({"Na": "alkali", "K": "alkali", "Cl": "halogen"}, name="family")
    _, ax = plt.subplots(figsize=figsize)
    display = ElementMapDisplay.from_table(name, method="pca", labels=labels).plot(ax)
    assert list(display.texts_) == get_table(name).symbols
    display.figure_.draw_without_rendering()
    boxes = {symbol: text.get_window_extent() for symbol, text in display.texts_.items()}
    assert not overlaps(boxes)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["alkali", "halogen", "no class"]


def test_equal_points_get_places_of_their_own():
    sizes = np.tile([12.0, 8.0], (30, 1))
    offsets = place_labels(np.zeros((30, 2)), sizes)
    gaps = np.abs(offsets[:, None] - offsets) / 1.0
    apart = (gaps >= sizes - 1e-9).any(axis=2)
    assert apart[~np.eye(30, dtype=bool)].all()
    alone = place_labels(np.array([[0.0, 0.0], [500.0, 0.0]]), sizes[:2])
    assert (np.hypot(*alone.T) < 15).all()


def test_map_of_clusters(result):
    display = ElementMapDisplay.from_clusters(result).plot()
    assert display.ax_.get_xlabel() == "PC 1"
    assert len(display.ax_.collections) == result.n_clusters
    shown = np.vstack([points.get_offsets() for points in display.ax_.collections])
    assert len(shown) == len(result.labels)


def test_map_with_classes_of_ones_own(result):
    symbols = result.coordinates.index
    by_symbol = {symbols[0]: "a", symbols[1]: 1}
    numbers = {SYMBOLS.index(symbol) + 1: name for symbol, name in by_symbol.items()}
    for labels in (by_symbol, numbers):
        display = ElementMapDisplay(result.coordinates, labels=labels).plot()
        legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert legend == ["1", "a", "no class"]
    unknown = ElementMapDisplay(result.coordinates, labels=pd.Series(dtype=object)).plot()
    assert len(unknown.ax_.collections) == 1


def test_curves(result):
    display = ClusterCurveDisplay.from_clusters(result).plot()
    assert len(display.ax_) == 3
    table = next(line for line in display.ax_[1].lines if line.get_label() == "table")
    means = result.curves[result.curves["data"] == "table"].groupby("k")["silhouette"].mean()
    np.testing.assert_allclose(table.get_xydata(), means.reset_index())
    legend = [text.get_text() for text in display.ax_[0].get_legend().get_texts()]
    assert legend == ["table", "random numbers", "columns permuted", "one Gaussian cloud"]
    _, two = plt.subplots(1, 2)
    with pytest.raises(ValueError, match="holds 2 axes; this needs 3"):
        display.plot(two)


def test_communities_have_no_curve(blobs):
    found = cluster_elements(blobs[0], method="louvain", n_seeds=1, controls=False)
    with pytest.raises(ValueError, match="method='louvain' tries no numbers"):
        ClusterCurveDisplay.from_clusters(found)


@pytest.mark.parametrize("what", ["cosine", "components", "table"])
def test_heat_map_puts_blobs_together(blobs, what):
    table, truth = blobs
    display = SimilarityDisplay.from_table(table, what).plot()
    found = pd.Series(truth, table.symbols)[display.order]
    assert (found.diff().fillna(0) != 0).sum() == 2  # three runs
    assert sorted(display.order) == sorted(table.symbols)
    image = display.ax_.images[0].get_array()
    assert image.shape == (60, {"cosine": 60, "components": 32, "table": 8}[what])
    row = display.matrix.loc[display.order[7]]
    shown = row[display.order] if what == "cosine" else row
    np.testing.assert_array_equal(image[7], shown)
    again = SimilarityDisplay.from_table(table, what)
    np.testing.assert_array_equal(display.linkage, again.linkage)


def test_cosine_is_that_of_the_rows():
    table = ElementTable([[1, 0], [1, 1], [0, -3]], ["H", "He", "Li"], name="three")
    matrix = SimilarityDisplay.from_table(table).matrix
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert matrix.loc["H", "He"] == pytest.approx(0.5**0.5)
    assert matrix.loc["He", "Li"] == pytest.approx(-(0.5**0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": "distance"}, "choose from cosine, components, table"),
        ({"linkage": "ward"}, "for what='cosine' choose from average, complete, single"),
        ({"what": "table", "linkage": "centroid"}, "choose from average, complete, single, ward"),
    ],
)
def test_heat_map_refuses(blobs, arguments, message):
    with pytest.raises(ValueError, match=message):
        SimilarityDisplay.from_table(blobs[0], **arguments)
    zero = ElementTable([[1, 0], [0, 0]], ["H", "He"], name="zero")
    with pytest.raises(ValueError, match="the vector of He is zero"):
        SimilarityDisplay.from_table(zero)
