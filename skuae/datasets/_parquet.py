"""Parquet files, read within `LIMITS`."""

import pandas as pd

from skuae._csv import check_names
from skuae.crystals import LIMITS

_BYTES = "bytes after decompression"
_ROWS = 64  # that are read before they are counted


def arrow():
    """Return pyarrow with its reader of parquet files, or raise ImportError with the way out."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'reading parquet files needs pyarrow: pip install "skuae[parquet]"'
        ) from error
    return pyarrow


def read_parquet(path):
    """Read a whole file as a data frame.

    Parameters
    ----------
    path : Path

    Returns
    -------
    DataFrame

    Raises
    ------
    LimitError
        If it expands to more than ``LIMITS.table_bytes``.
    """
    with arrow().parquet.ParquetFile(path) as file:
        check_names(path, file.schema_arrow.names)  # pandas would give pages of a schema
        groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
        LIMITS.check("table_bytes", sum(group.total_byte_size for group in groups), _BYTES)
        # A value that is repeated is written once, so the sizes in the file do not tell all.
        size = rows = 0
        for batch in file.iter_batches(_ROWS):
            size, rows = size + batch.nbytes, rows + batch.num_rows
            _check(size, rows, file.metadata.num_rows)
    return pd.read_parquet(path)


def read_parquet_pieces(path, n_rows):
    """Read a file some rows at a time; the limit is that of these.

    Parameters
    ----------
    path : Path
    n_rows : int

    Yields
    ------
    DataFrame
        Of `n_rows`; the last one may have fewer.

    Raises
    ------
    LimitError
        If rows that are read at a time expand to more than ``LIMITS.table_bytes``.
    """
    pyarrow = arrow()
    with pyarrow.parquet.ParquetFile(path) as file:
        check_names(path, file.schema_arrow.names)
        left = file.metadata.num_rows
        parts, size, rows = [], 0, 0
        for batch in file.iter_batches(min(n_rows, _ROWS)):
            while batch.num_rows:
                part = batch.slice(0, n_rows - rows)
                batch = batch.slice(part.num_rows)
                parts.append(part)
                size, rows = size + part.nbytes, rows + part.num_rows
                _check(size, rows, min(n_rows, left))
                if rows == min(n_rows, left):
                    yield pyarrow.Table.from_batches(parts).to_pandas()
                    left -= rows
                    parts, size, rows = [], 0, 0


def _check(size, rows, n_rows):
    """Raise if rows exceed the limit in bytes, and propose a limit for `n_rows` such rows."""
    what = _BYTES if rows >= n_rows else f"in the first {rows:,} of {n_rows:,} rows, {_BYTES}"
    LIMITS.check("table_bytes", size, what, need=-(-size * n_rows // max(rows, 1)))
