"""Element tables: one vector per element."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skuae._elements import N_ELEMENTS, SYMBOLS, atomic_number, name_elements
from skuae._files import write_bytes
from skuae.embedding import _checks, _neighbors
from skuae.embedding._checks import WAY_OUT, as_matrix, check_on_missing
from skuae.embedding._interchange import InterchangeMixin, read_csv
from skuae.embedding._saved import read_table, write_table

_LARGEST = 1e18  # squares and sums of values stay within float32


class ElementTable(InterchangeMixin):
    """Table with one vector per element, its coverage and its provenance.

    Tables are immutable: methods return new tables. Two tables are equal if names, columns and
    numbers are. Copies are cheap, also to worker processes.

    Parameters
    ----------
    values : DataFrame or array-like of shape (n_elements, n_dims)
        Finite numbers. The index of a data frame names the elements.
    symbols : sequence of str or int of length n_elements, optional
        Symbols or atomic numbers of the rows; needed unless `values` is a data frame.
    name : str
        Short name; feature names begin with it.
    metadata : dict, optional
        Provenance card: anything that JSON can hold. Known keys are ``"description"``,
        ``"source"``, ``"licence"`` and ``"citation"`` (BibTeX, one string or a list).
    columns : sequence of str of length n_dims, optional
        Names of the columns. By default those of the data frame, else ``"0"``, ``"1"``, ...

    Attributes
    ----------
    values : ndarray of shape (118, n_dims), float32, read-only
        Row ``Z - 1`` belongs to the element with atomic number ``Z``; NaN where not covered.
    seen : ndarray of bool of shape (118,), read-only
        Which elements the table covers.
    name : str
    metadata : dict
    columns : list of str

    Raises
    ------
    ValueError
        If an element is unknown or given twice, two columns have one name, or a value is no number.

    Warns
    -----
    UserWarning
        Values of a column differ by less than float32 resolves; or rows of a data frame or CSV look
        like placeholders: zeros, the mean of all rows, or a row that five or more elements share.
        Such rows count as covered.

    See Also
    --------
    get_table : Load a table by its name.

    Examples
    --------
    >>> from skuae.embedding import ElementTable
    >>> table = ElementTable([[0.98, 3.0], [3.98, 9.0]], ["Li", "F"], name="mine",
    ...                      columns=["electronegativity", "Z"])
    >>> table
    ElementTable('mine', 2 elements x 2 columns)
    >>> table["F"]
    array([3.98, 9.  ], dtype=float32)
    >>> table.lookup([9, 9, 3]).shape
    (3, 2)
    """

    def __init__(self, values, symbols=None, *, name, metadata=None, columns=None):
        if isinstance(values, pd.DataFrame):
            symbols = _checks.elements_of(values) if symbols is None else symbols
            columns = values.columns if columns is None else columns
        elif symbols is None:
            raise ValueError(
                "the rows have no elements: pass symbols=[...], or a data frame indexed by symbol"
            )
        rows = as_matrix(values)
        if columns is None:
            columns = range(rows.shape[1])
        self._name = str(name)
        self._metadata = copy.deepcopy(dict(metadata or {}))
        self._columns = tuple(str(column) for column in columns)
        numbers = np.array([atomic_number(symbol) for symbol in symbols], dtype=np.int64)
        self._check(rows, numbers)
        _checks.warn_rounding(self.name, self._columns, rows)
        if isinstance(values, pd.DataFrame):
            _checks.warn_filler(self.name, rows, numbers)
        self._values = np.full((N_ELEMENTS, rows.shape[1]), np.nan, dtype=np.float32)
        self._values[numbers - 1] = rows
        self._seen = np.zeros(N_ELEMENTS, dtype=bool)
        self._seen[numbers - 1] = True
        self._freeze()

    def _check(self, rows, numbers):
        if len(rows) != len(numbers) or len(rows) == 0:
            raise ValueError(
                f"table {self.name!r} has {len(rows)} rows for {len(numbers)} elements; "
                "give one symbol a row, and at least one row"
            )
        if rows.shape[1] != len(self.columns) or not self.columns:
            raise ValueError(
                f"table {self.name!r} has {len(self.columns)} column names for {rows.shape[1]} "
                "columns; give one name a column, and at least one column"
            )
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"table {self.name!r} has two columns of one name; rename one")
        found, counts = np.unique(numbers, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"table {self.name!r} has several rows for {name_elements(found[counts > 1])}; "
                "keep one"
            )
        bad = np.argwhere(~(abs(rows) <= _LARGEST))
        if len(bad):
            row, column = bad[0]
            more = f" ({len(bad)} such values)" if len(bad) > 1 else ""
            way_out = (
                f"Values are at most {_LARGEST:.0e} in size: divide the column"
                if np.isfinite(rows[row, column])
                else "Impute it, e.g. frame.fillna(frame.mean()), or leave the element out and let "
                "on_missing_element decide"
            )
            raise ValueError(
                f"table {self.name!r}: column {self.columns[column]!r} of "
                f"{SYMBOLS[numbers[row] - 1]} is {rows[row, column]}{more}. {way_out}"
            )

    def _freeze(self):
        self._values.flags.writeable = False
        self._seen.flags.writeable = False

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._freeze()

    def __deepcopy__(self, memo):
        return copy.copy(self)  # shares what nobody can change

    # -- what is in it ----------------------------------------------------------------------------

    @property
    def values(self):
        """Vectors by atomic number, NaN where an element is not covered; read-only."""
        return self._values

    @property
    def seen(self):
        """Which elements are covered, by atomic number; read-only."""
        return self._seen

    @property
    def name(self):
        """Short name; feature names begin with it."""
        return self._name

    @property
    def columns(self):
        """Names of the columns; a new list, since tables are shared."""
        return list(self._columns)

    @property
    def metadata(self):
        """Provenance card; a copy, since tables are shared."""
        return copy.deepcopy(self._metadata)

    @property
    def n_dims(self):
        """Number of columns."""
        return self.values.shape[1]

    @property
    def symbols(self):
        """Symbols of the covered elements, by atomic number."""
        return [SYMBOLS[i] for i in np.flatnonzero(self.seen)]

    # No __len__: with __getitem__ it would make numpy take a table for a sequence of rows.
    def __getitem__(self, element):
        return self.lookup([atomic_number(element)])[0]

    def __contains__(self, element):
        return bool(self.seen[atomic_number(element) - 1])

    def __eq__(self, other):
        if not isinstance(other, ElementTable):
            return NotImplemented
        return (
            self.name == other.name
            and self.columns == other.columns
            and np.array_equal(self.values, other.values, equal_nan=True)
        )

    def __hash__(self):
        return hash((self.name, *self.columns))

    def __repr__(self):
        return f"ElementTable({self.name!r}, {self.seen.sum()} elements x {self.n_dims} columns)"

    def missing(self, numbers):
        """Tell which elements the table does not cover.

        Parameters
        ----------
        numbers : array-like of int of shape (n,)
            Atomic numbers.

        Returns
        -------
        ndarray of int64
            Those among them that are not covered, each once, ascending.
        """
        numbers = np.unique(np.asarray(numbers, dtype=np.int64))
        if len(numbers) and not 1 <= numbers[0] <= numbers[-1] <= N_ELEMENTS:
            raise ValueError(f"atomic numbers are 1 to {N_ELEMENTS}; got {numbers[[0, -1]]}")
        return numbers[~self.seen[numbers - 1]]

    def lookup(self, numbers, on_missing="raise"):
        """Gather the vectors of elements.

        Parameters
        ----------
        numbers : array-like of int of shape (n,)
            Atomic numbers.
        on_missing : {"raise", "mean", "nan"}, default="raise"
            For elements that the table does not cover: an error, the mean of the covered
            elements, or NaN.

        Returns
        -------
        ndarray of shape (n, n_dims), float32
            A copy.

        Raises
        ------
        ValueError
            If an element is not covered and `on_missing` is "raise".
        """
        check_on_missing(on_missing)
        missing = self.missing(numbers)
        vectors = self.values[np.asarray(numbers, dtype=np.int64) - 1]
        if len(missing) and on_missing == "raise":
            raise ValueError(
                f"table {self.name!r} ({self.seen.sum()} elements) has no vector for "
                f"{name_elements(missing)}; {WAY_OUT}"
            )
        if len(missing) and on_missing == "mean":
            vectors[np.isin(numbers, missing)] = self.values[self.seen].mean(axis=0)
        return vectors

    def most_similar(self, element, n=5, *, metric="cosine"):
        """Find the covered elements that are nearest to one, or to any vector.

        The cosine is computed on the rows as they are. A component that all rows share raises all
        cosines; ``table.standardize().most_similar(...)`` removes it.

        Parameters
        ----------
        element : str, int or array-like of shape (n_dims,)
            Symbol, atomic number, or a vector such as ``table["Ti"] - table["Zr"] + table["Hf"]``.
        n : int, default=5
            How many; fewer if the table covers fewer.
        metric : {"cosine", "euclidean"}, default="cosine"
            Cosine similarity, or Euclidean distance.

        Returns
        -------
        Series
            Similarity or distance by symbol, the nearest first; without `element` itself.

        Raises
        ------
        ValueError
            If the table does not cover the element, or a vector is zero and has no cosine.

        Examples
        --------
        >>> from skuae.embedding import get_table
        >>> list(get_table("mat2vec").most_similar("Na", n=2).index)
        ['Li', 'Rb']
        """
        return _neighbors.most_similar(self, element, n, metric)

    # -- other tables made from it ----------------------------------------------------------------

    def standardize(self):
        """Return the table with columns of mean 0 and standard deviation 1.

        The statistics are those of the covered elements. Constant columns become 0.

        Returns
        -------
        ElementTable
        """
        rows = self.values[self.seen].astype(np.float64)
        spread = rows.std(axis=0)  # exactly 0 for constant columns: float32 sums are exact here
        rows = (rows - rows.mean(axis=0)) / np.where(spread == 0, 1.0, spread)
        return self._with(rows, self.name, standardized=True)

    def fill_missing(self):
        """Return the table with the mean of the covered elements for all others.

        Returns
        -------
        ElementTable
            Covering all 118 elements.
        """
        rows = self.lookup(np.arange(1, N_ELEMENTS + 1), "mean")
        card = {**self.metadata, "filled_with_mean": name_elements(np.flatnonzero(~self.seen) + 1)}
        return ElementTable(
            rows, symbols=SYMBOLS, name=self.name, metadata=card, columns=self.columns
        )

    def permute(self, random_state=None):
        """Return the table with its rows permuted among the covered elements.

        This is a control: the vectors are the same, but they belong to the wrong elements.

        Parameters
        ----------
        random_state : int, RandomState instance or None, default=None
            Pass an int for the same permutation on every call.

        Returns
        -------
        ElementTable
        """
        order = check_random_state(random_state).permutation(self.seen.sum())
        return self._with(self.values[self.seen][order], f"{self.name}-permuted", permuted=True)

    def _with(self, rows, name, **card):
        metadata = {**self.metadata, **card}
        return ElementTable(rows, self.symbols, name=name, metadata=metadata, columns=self.columns)

    # -- files ------------------------------------------------------------------------------------

    def to_frame(self):
        """Return the covered elements as a data frame.

        Returns
        -------
        DataFrame of shape (n_elements, n_dims)
            Indexed by symbol.
        """
        index = pd.Index(self.symbols, name="element")
        return pd.DataFrame(self.values[self.seen], index=index, columns=self.columns)

    def save(self, path):
        """Write values and card to one safetensors file; the file is complete or absent.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.safetensors``.
        """
        write_table(self, path)

    def to_csv(self, path):
        """Write the values as CSV, in the format of ElementEmbeddings; the card is left out.

        Parameters
        ----------
        path : str or path-like
            Where to.
        """
        write_bytes(path, self.to_frame().to_csv().encode())

    @classmethod
    def load(cls, path):
        """Read a table from a file.

        Parameters
        ----------
        path : str or path-like
            What :meth:`save` wrote, or a ``.csv`` whose first column names the elements.

        Returns
        -------
        ElementTable

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no element table or is damaged.
        """
        path = Path(path)
        if path.suffix.lower() == ".csv":
            frame = read_csv(path)
            return cls(frame, name=path.stem, metadata={"source": path.name})
        return read_table(cls, path)
