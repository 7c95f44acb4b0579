"""Bars of steps deep inside are shown where they are asked for, and nowhere else."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest

from skuae import CrystalGNNRegressor, _progress, models
from skuae._progress import progress_bar, show_progress
from skuae.datasets import make_toy_crystals
from skuae.models import BACKBONES, Inputs


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Show bars of steps however short."""
    monkeypatch.setattr(_progress, "_DELAY", 0)


@pytest.fixture
def toy():
    return make_toy_crystals(24, random_state=0)


def steps(n=3):
    with progress_bar(n, "graphs", "crystals") as bar:
        for _ in range(n):
            bar.update()


def test_bars_are_shown_inside_the_block_only(capfd):
    steps()
    with show_progress(0):
        steps()
    assert capfd.readouterr() == ("", "")
    with show_progress(1), show_progress(0):
        steps()
    assert capfd.readouterr() == ("", "")
    with show_progress(1):
        steps()
    out, shown = capfd.readouterr()
    assert not out
    assert "graphs: 100%" in shown and "3/3" in shown and "crystals/s" in shown
    with pytest.raises(ZeroDivisionError), show_progress(1):
        _ = 1 / 0
    steps()
    assert capfd.readouterr() == ("", "")


def test_short_steps_show_nothing(capfd, monkeypatch):
    monkeypatch.setattr(_progress, "_DELAY", 3600)
    with show_progress(1):
        steps()
    assert capfd.readouterr() == ("", "")


def test_other_threads_show_nothing(capfd):
    with show_progress(1), ThreadPoolExecutor(1) as pool:
        pool.submit(steps).result()
    assert capfd.readouterr() == ("", "")


def model(backbone, **params):
    return CrystalGNNRegressor(
        backbone, max_epochs=1, batch_size=8, device="cpu", random_state=0, **params
    )


def fresh(crystals):
    """Return the same crystals without their graphs."""
    return copy.copy(crystals)


@pytest.mark.parametrize("name", BACKBONES)
def test_estimators_show_how_far_graphs_are(name, toy, capfd):
    y = toy.target
    has_graphs = name != "crystal_transformer"
    quiet = model(name).fit(fresh(toy.structures), y)
    quiet.predict(fresh(toy.structures))
    assert capfd.readouterr() == ("", "")
    crystals = fresh(toy.structures)
    loud = model(name, verbose=1).fit(crystals, y)
    shown = capfd.readouterr().err
    assert ("graphs: 100%" in shown and "24/24" in shown) == has_graphs
    loud.predict(crystals)  # they are kept
    assert "graphs" not in capfd.readouterr().err
    loud.predict(fresh(toy.structures[:10]))
    assert ("10/10" in capfd.readouterr().err) == has_graphs


class WithOwnGraphs(models.CGCNN):
    """A user's back-end, which knows nothing of bars."""

    def inputs(self, crystals, *, merge=True):
        return Inputs(crystals.graph(4.0, 6))


class WithOwnReducedGraphs(models.CGCNN):
    def inputs(self, crystals, *, merge=True):
        return Inputs(crystals.reduced_graph(4.0, merge=merge))


@pytest.mark.parametrize("kind", [WithOwnGraphs, WithOwnReducedGraphs])
def test_back_ends_of_users_show_it_too(kind, toy, capfd):
    model(kind(), verbose=1).fit(toy.structures, toy.target)
    shown = capfd.readouterr().err
    assert "graphs: 100%" in shown and "24/24" in shown


def test_graphs_that_a_user_builds_show_nothing(toy, capfd):
    toy.structures.graph(5.0)
    toy.structures.reduced_graph(5.0)
    assert capfd.readouterr() == ("", "")
