"""What notebooks show."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.utils import Bunch

from skuae import Crystals, ElementTable, as_crystals
from skuae.datasets import load_mp_mini, make_toy_crystals, read_file
from skuae.embedding import get_table

EVIL = "<script>alert('x')</script>&\""


class Page(HTMLParser):
    """Collects tags and text, and refuses what is not nested well."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], set(), ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def evil_bunch(tmp_path):
    structure = Structure(Lattice.cubic(4), ["Cu"], [[0, 0, 0]])
    frame = pd.DataFrame({"id": [EVIL], "structure": [structure.to_json()], EVIL: [EVIL]})
    frame.to_json(tmp_path / "a.json", orient="records")
    return read_file(tmp_path / "a.json")


def evil_things(tmp_path):
    structure = Structure(Lattice.cubic(4), ["Cu"], [[0, 0, 0]])
    card = {"description": EVIL, "source": EVIL, "licence": EVIL}
    return [
        as_crystals([structure], ids=[EVIL]),
        ElementTable([[1.0]], ["Cu"], name=EVIL, columns=[EVIL], metadata=card),
        evil_bunch(tmp_path),
    ]


def test_texts_are_escaped(tmp_path):
    for thing in evil_things(tmp_path):
        page = Page(thing._repr_html_())
        assert "script" not in page.tags
        assert EVIL in page.text or EVIL[:20] in page.text


def test_the_page_decides_on_colours():
    for thing in (load_mp_mini(), make_toy_crystals(3).structures, get_table("magpie")):
        html = thing._repr_html_()
        assert not re.search(r"(?<![-\w])color:|background: (?!none)|#[0-9a-f]{3}", html)


def test_crystals():
    crystals = make_toy_crystals(8, random_state=0).structures
    text = Page(crystals._repr_html_()).text
    assert crystals[0].composition.reduced_formula in text
    assert "... and 3 more" in text
    assert "more" not in Page(crystals[:5]._repr_html_()).text
    named = as_crystals([crystals[0]], ids=["mp-1"])
    assert "mp-1" in Page(named._repr_html_()).text
    nothing = crystals[np.zeros(8, dtype=bool)]
    assert isinstance(nothing, Crystals) and "0" in Page(nothing._repr_html_()).text


@pytest.mark.parametrize("name", ["magpie", "onehot", "cgcnn"])
def test_tables(name):
    table = get_table(name)
    text = Page(table._repr_html_()).text
    assert name in text and f"{len(table.symbols)} of 118" in text
    assert table.metadata["description"] in text


def test_bunches():
    data = load_mp_mini()
    text = Page(data._repr_html_()).text
    assert "Materials Project, a sample of 2,573 crystals" in text
    assert data.ids[0] in text and "formation_energy_per_atom" in text
    assert isinstance(data, Bunch) and "frame" not in dict(data)  # no structures were made
    assert "target" in Page(make_toy_crystals(3)._repr_html_()).text
