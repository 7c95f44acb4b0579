import matplotlib.pyplot as plt
import numpy as np
import pytest

from skuae.analysis._axes import name_rows, take_ax, take_panels, with_unit


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_new_figures_have_the_size_asked_for():
    ax, figure = take_ax(None, (5, 3))
    assert ax.figure is figure and figure.get_size_inches().tolist() == [5, 3]
    axes, figure = take_panels(None, 3, (9, 2))
    assert axes.shape == (3,) and figure.axes == list(axes)


def test_axes_of_the_caller_are_drawn_on():
    figure, axes = plt.subplots(2, 2)
    ax, found = take_ax(axes[0, 1], (1, 1))
    assert ax is axes[0, 1] and found is figure
    panels, found = take_panels(axes, 4, (1, 1))
    assert list(panels) == list(np.ravel(axes)) and found is figure
    panels, _ = take_panels(list(axes[0]), 2, (1, 1))
    assert list(panels) == list(axes[0])
    with pytest.raises(ValueError, match="ax holds 2 axes; this needs 1"):
        take_ax(axes[0], (1, 1))
    assert plt.get_fignums() == [figure.number]


def test_labels():
    assert with_unit("gap", "eV") == "gap (eV)"
    assert with_unit("gap", None) == "gap"
    ax, _ = take_ax(None, (2, 2))
    name_rows(ax, ["first", "second"])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", "second"]
    assert ax.get_ylim() == (1.5, -0.5)
