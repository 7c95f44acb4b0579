"""skuae analyze: what it writes, and what it says when it cannot."""

import pandas as pd
import pytest

from skuae.cli import main
from skuae.embedding import get_table


@pytest.mark.slow
def test_analyze_writes_a_page(tmp_path, capsys):
    get_table("megnet16").to_csv(tmp_path / "mine.csv")
    options = ["--compare-with", "magpie", "--space", "pca", "--seeds", "1", "--quiet"]
    code = main(["analyze", str(tmp_path / "mine.csv"), "-o", str(tmp_path / "report"), *options])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert out.strip() == str(tmp_path / "report" / "report.html")
    assert "<h1>mine</h1>" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    compared = pd.read_csv(tmp_path / "report" / "comparison.csv", index_col=0)
    assert list(compared.index) == ["magpie"]


@pytest.mark.parametrize(
    ("table", "message"),
    [("ct-uae-mtt", "did you mean 'ct-uae-mt'"), ("none.csv", "none.csv")],
)
def test_analyze_names_what_it_cannot_find(table, message, tmp_path, capsys):
    assert main(["analyze", table, "-o", str(tmp_path / "report")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_analyze_replaces_no_file_by_a_folder(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("a")
    assert main(["analyze", "ct-uae-mt", "-o", str(tmp_path / "a.csv")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"skuae analyze: {tmp_path}/a.csv: there is a file of that name, or on")
    assert said.endswith("; give the path of a folder\n")


@pytest.mark.slow
def test_analyze_with_nothing_but_the_default(tmp_path, capsys):
    assert main(["analyze", "ct-uae-mt", "-o", str(tmp_path), "--quiet"]) == 0
    compared = pd.read_csv(tmp_path / "comparison.csv", index_col=0)
    assert {"magpie", "mat2vec", "megnet16", "random"} <= set(compared.index)
    curves = pd.read_csv(tmp_path / "cluster_curves.csv")
    assert set(curves["data"]) == {"table", "random", "permuted", "gaussian"}
    probes = pd.read_csv(tmp_path / "probe_summary.csv", index_col=["property", "table"])
    assert probes.loc[("electronegativity", "ct-uae-mt"), "R² mean"] > 0.3
