"""The report: whole, self-contained, the same for the same seed, and told by its numbers."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from skuae import CrystalTransformerRegressor, ElementTable
from skuae.analysis import write_report
from skuae.analysis.report._card import card_section
from skuae.analysis.report._elements import cluster_section, tree_section
from skuae.analysis.report._knowledge import comparison_section, probe_section
from skuae.embedding import get_table

FAST = {"space": "pca", "n_seeds": 2, "cv": KFold(2), "compare_with": ["megnet16", "random"]}


class _Page(HTMLParser):
    """Collects what a page loads, links and says."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.linked, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.loaded += [attrs["src"]] if "src" in attrs else []
        self.linked += [attrs["href"]] if "href" in attrs else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def magpie(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "deep" / "report"
    return write_report("magpie", folder, **FAST)


def test_page_needs_nothing_but_itself(magpie):
    text = magpie.page.read_text(encoding="utf-8")
    page = _Page(text)
    assert not page.open  # every tag is closed
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.loaded) == 11  # no warping: the columns of magpie have mean zero
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.loaded)
    assert "http" not in " ".join(page.linked)
    for target in page.linked:
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in text
        else:
            assert (magpie.page.parent / target).stat().st_size > 0


def test_every_section_speaks_and_has_numbers(magpie):
    assert list(magpie.text) == [
        "The table",
        "Classes of elements",
        "Similarity of all elements",
        "On the periodic table",
        "Nearest elements",
        "What the vectors say about measured properties",
        "Oxides by class",
        "Beside other tables",
    ]
    for sentences in magpie.text.values():
        assert sentences and all(re.search(r"[\w%)]\.$", sentence) for sentence in sentences)
        assert "nan" not in " ".join(sentences)
    for stem, frame in magpie.frames.items():
        n_levels = frame.index.nlevels
        path = magpie.page.with_name(f"{stem}.csv")
        read = pd.read_csv(path, index_col=list(range(n_levels)), na_filter=False)
        assert read.shape == frame.shape


def test_sentences_follow_the_numbers(magpie):
    text = {title: " ".join(sentences) for title, sentences in magpie.text.items()}
    summary = magpie.frames["probe_summary"]
    best = summary["R² mean"].xs("magpie", level="table").idxmax().replace("_", " ")
    probes = text["What the vectors say about measured properties"]
    assert re.search(r"splits: ([a-z ]+) [\d.]+ ± ", probes)[1] == best
    assert "read back what was put in" in text["The table"]
    assert "tighter than any found in noise" in text["Classes of elements"]
    near = magpie.frames["comparison"]["rsa"].idxmax()
    assert f"(RSA) magpie is nearest to {near}" in text["Beside other tables"]


def test_noise_is_called_noise():
    noise = get_table("random")
    clusters, labels = cluster_section(noise, "pca", 2, 0, None)
    assert "no more than noise gives" in clusters.text[1]
    assert "noise fits" in tree_section(noise, labels, 0).text[1]
    probes = probe_section(noise, KFold(2), 0, None)
    assert "above them: nothing;" in probes.text[1]
    others = comparison_section(noise, [get_table("magpie"), get_table("megnet16")], 0)
    assert all("like no other table" in sentence for sentence in others.text[:2])
    plt.close("all")


@pytest.mark.slow
def test_same_seed_same_files(magpie, tmp_path):
    again = write_report("magpie", tmp_path, **FAST)
    for path in sorted(magpie.page.parent.iterdir()):
        assert path.read_bytes() == again.page.with_name(path.name).read_bytes(), path.name


def test_few_elements_one_dimension_and_names_that_html_would_take(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(14, 1))
    rows = np.vstack([rows, 2 * [rows.mean(axis=0)]])
    table = ElementTable(rows, range(3, 19), name="<b>x</b> & y")
    report = write_report(table, tmp_path, **FAST)
    text = report.page.read_text(encoding="utf-8")
    assert "&lt;b&gt;x&lt;/b&gt; &amp; y" in text and "<b>x" not in text
    assert _Page(text).open == []
    assert any(
        s.startswith("Left out of all that follows: Cl, Ar,") for s in report.text["The table"]
    )
    assert len(report.frames["nearest"]) == 14


def test_what_went_in_is_said_and_probed():
    card = {"params": {"element_features": {"tuple": ["magpie"]}}, "leakage": "Seen: all of it."}
    table = ElementTable(get_table("megnet16").to_frame(), name="learned", metadata=card)
    sentences = card_section(table).text
    assert any("known properties of the elements (magpie)" in s for s in sentences)
    assert "What it has seen: Seen: all of it." in sentences
    probes = probe_section(table, KFold(2), 0, None)
    summary, _ = probes.frames["probe_summary"]
    assert {"learned", "magpie", "onehot", "random"} == set(summary.index.unique("table"))
    assert any("made from (magpie) are probed" in s for s in probes.text)


def test_what_a_graph_network_starts_from_is_said():
    card = {"element_features": ["cgcnn"], "front_end": "CrystalGNNRegressor"}
    table = ElementTable(get_table("megnet16").to_frame(), name="learned", metadata=card)
    sentences = card_section(table).text
    assert any("of the elements (cgcnn). Radius" in s for s in sentences)


def test_tables_of_one_name_are_all_compared():
    frames = [get_table("random").permute(seed).to_frame() for seed in range(3)]
    mine, *others = (ElementTable(frame, name="magpie") for frame in frames)
    section = comparison_section(mine, [*others, get_table("magpie")], 0)
    shown, _ = section.frames["comparison"]
    assert list(shown.index) == ["magpie (2)", "magpie (3)", "magpie (shipped)"]
    alone = comparison_section(get_table("magpie"), [get_table("megnet16")], 0)
    assert any("is nearest to megnet16" in s for s in alone.text)
    assert not any("furthest" in s for s in alone.text)


def test_elements_that_are_all_equally_far_apart():
    table = ElementTable(np.eye(20), range(1, 21), name="names")
    section = tree_section(table, pd.Series(0, table.symbols), 0)
    assert section.text == [
        "All elements are equally far from each other, and no tree tells them apart."
    ]


def test_too_few_elements_an_estimator_and_a_file_in_the_way(tmp_path):
    small = ElementTable(np.eye(5), range(1, 6), name="small")
    with pytest.raises(ValueError, match=r"'small' has 5 elements .* needs 12"):
        write_report(small, tmp_path)
    with pytest.raises(ValueError, match="no element table named 'nope'"):
        write_report("magpie", tmp_path, compare_with="nope")
    with pytest.raises(TypeError, match="random_state must be an int; got None"):
        write_report("magpie", tmp_path, random_state=None)
    with pytest.raises(TypeError, match="element_table_"):
        write_report(CrystalTransformerRegressor(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        write_report("magpie", tmp_path / "file", **FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
