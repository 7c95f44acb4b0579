"""Parquet files are compressed: how much they may expand to is limited."""

import pandas as pd
import pytest

from skuae.crystals import LIMITS
from skuae.datasets import read_file

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_files_are_limited_by_what_they_expand_to(tmp_path, monkeypatch, use_dictionary):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"structure": ["x" * 100] * 5000})  # 500 kB
    frame.to_parquet(path, use_dictionary=use_dictionary)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(LIMITS, "table_bytes", 100_000)
    message = r"a\.parquet .* bytes after decompression: [\d,]+, more than 100,000; .*table_bytes"
    with pytest.raises(ValueError, match=message):
        read_file(path)
    monkeypatch.setattr(LIMITS, "table_bytes", 1_000_000)
    with pytest.raises(ValueError, match=r"row 0, .*'xxx.* is no CIF text, and there"):
        read_file(path)


@pytest.mark.parametrize("sites", [1, 2])
def test_structures_in_columns_are_limited(tmp_path, monkeypatch, sites):
    frame = pd.DataFrame({"lattice": [[[3, 0, 0], [0, 3, 0], [0, 0, 3]]]})
    frame["atomic_numbers"] = [[55, 17][:sites]]
    frame["frac_coords"] = [[[0.0, 0, 0], [0.5, 0.5, 0.5]][:sites]]
    frame.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(LIMITS, "sites", 1)
    if sites == 1:
        assert read_file(tmp_path / "a.parquet").structures.n_sites == 1
    else:
        with pytest.raises(ValueError, match="row 0: sites: 2, more than 1"):
            read_file(tmp_path / "a.parquet")
