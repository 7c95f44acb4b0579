"""Links to the documentation in the HTML of estimators."""

import re
from pathlib import Path

import pytest

import skuae
from skuae import CrystalGNNRegressor, UAETransformer, _doc_links
from skuae.models import BACKBONES

DOCS = Path(__file__).parents[1] / "docs"
ADDRESS = "https://example.org/skuae"


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(_doc_links, "documentation", lambda: ADDRESS)


def estimators():
    yield from (
        getattr(skuae, name)() for name in skuae.__all__ if name.endswith(("ifier", "essor"))
        if not name.startswith(("CrystalVoting", "CrystalStacking"))
    )  # fmt: skip
    yield skuae.CrystalVotingRegressor([])
    yield skuae.CrystalStackingRegressor([])
    yield skuae.CrystalStackingClassifier([])
    yield UAETransformer()
    yield skuae.featurizers.SymmetryTransformer()
    yield skuae.featurizers.BackboneTransformer(None)
    yield skuae.featurizers.PotentialTransformer()
    yield skuae.pipelines.ActivationGPRegressor()
    yield skuae.pipelines.ActivationGPClassifier()
    yield skuae.pipelines.AbsoluteErrorBlend()
    yield from (kind() for kind in BACKBONES.values())


@pytest.mark.parametrize("estimator", list(estimators()), ids=lambda e: type(e).__name__)
def test_links_lead_to_pages_of_the_reference(estimator, address):
    page = re.fullmatch(
        rf"{ADDRESS}/api/generated/skuae\.([\w.]+)\.html", estimator._get_doc_link()
    )
    assert page is not None
    pages = [*DOCS.glob("api_*.md"), DOCS / "backends.md"]
    assert page[1] in "\n".join(path.read_text(encoding="utf-8") for path in pages).split()


def test_links_are_shown(address):
    html = CrystalGNNRegressor(embedding=UAETransformer())._repr_html_()
    assert f"{ADDRESS}/api/generated/skuae.CrystalGNNRegressor.html" in html


def test_nothing_is_shown_without_an_address(monkeypatch):
    monkeypatch.setattr(_doc_links, "documentation", lambda: "")
    html = CrystalGNNRegressor()._repr_html_()
    assert "api/generated" not in html and "Documentation for CrystalGNN" not in html


def test_estimators_of_others_have_none(address):
    class Mine(UAETransformer):
        pass

    assert Mine()._get_doc_link() == ""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (None, ""),
        (["Source, https://a.org"], ""),
        (["Source, https://a.org", "Documentation, https://b.org/x/"], "https://b.org/x"),
    ],
)
def test_the_address_is_that_of_the_build(lines, expected, monkeypatch):
    class Metadata:
        def get_all(self, name):
            return lines if name == "Project-URL" else None

    monkeypatch.setattr(_doc_links, "metadata", lambda name: Metadata())
    assert _doc_links.documentation.__wrapped__() == expected
