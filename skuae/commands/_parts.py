"""Tables in parts: each worker of dask makes one table, and tables that exist are kept."""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import effective_n_jobs
from tqdm.auto import tqdm

from skuae._files import make_folder, write_bytes
from skuae.commands._output import arrow

_NOTE = b"skuae"  # in the metadata of a parquet file
_MOST_NAMED = 5
Compute = Callable[[Any, str], tuple[pd.DataFrame, dict[str, Any]]]


def run_parts(
    args: argparse.Namespace,
    compute: Compute,
    load: tuple[Callable[..., Any], *tuple[Any, ...]],
    facts: dict[str, Any],
    labels: bool = False,
) -> int:
    """Make a table of each parquet file, on workers of dask; return the exit status.

    Parameters
    ----------
    args : argparse.Namespace
        With `command`, `files`, `output`, `scheduler`, `jobs`, `overwrite` and `quiet`.
    compute : callable
        From what `load` gives and the path of a file to its table, with the columns ``id`` and
        ``error``, and to types of its columns that the rows of one file may not tell; runs in a
        worker.
    load : tuple
        A function and its arguments. It runs once; its result goes to each worker once.
    facts : dict
        What the tables depend on, beside the files.
    labels : bool, default=False
        Whether the tables hold the other columns of the files.

    Returns
    -------
    int
        1 if some rows have an error.

    Raises
    ------
    ValueError
        If the folder holds results of something else or the files themselves, or limits are
        given. If files cannot be read; all others are done then.
    FileExistsError
        If the folder holds parquet files that no run with ``--scheduler`` wrote.
    ImportError
        If dask or pyarrow is missing.
    """
    if args.limit:
        raise ValueError("--limit does not reach the workers of --scheduler; leave out one of them")
    arrow()
    _dask()
    sources = _sources(args.files)
    if args.output is None:
        raise ValueError("--scheduler writes a file for each of FILES: give -o FOLDER")
    folder = make_folder(args.output)
    targets = {source: folder / source.name for source in sources}
    _check_apart(targets)
    types = _label_types(sources) if labels else {source: {} for source in sources}
    todo = _todo(folder, types, {"command": args.command, **facts}, args.overwrite)
    n_done = len(sources) - len(todo)
    tasks = {source: (targets[source], note, types[source]) for source, note in todo.items()}
    wrong = _compute(args, compute, load, tasks)
    n_rows, failed = _count([targets[source] for source in sources if source not in wrong])
    before = f" ({n_done} were there)" if n_done else ""
    if failed is not None:
        print(f"skuae {args.command}: {failed}", file=sys.stderr)
    print(f"{n_rows} rows in {len(sources) - len(wrong)} files{before} -> {args.output}")
    if wrong:
        named = "; ".join(reason if str(source) in reason else f"{source}: {reason}"
                          for source, reason in list(wrong.items())[:_MOST_NAMED])  # fmt: skip
        n_old = sum(targets[source].exists() for source in wrong)
        old = f" {n_old} of them still have old results in {folder}." if n_old else ""
        raise ValueError(
            f"{len(wrong)} of {len(sources)} files failed: {named}.{old} The others are done: "
            "repair these, and give the same command again"
        )
    return int(failed is not None)


def _dask() -> Any:
    """Return dask's scheduler of clusters, or raise ImportError with the way out."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError('--scheduler needs dask: pip install "skuae[dask]"') from error
    return distributed


def _sources(files: list[str]) -> list[Path]:
    """Return the parquet files that are given, alone or in folders."""
    found: list[Path] = []
    for name in files:
        path = Path(name)
        inside = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no parquet files, which --scheduler needs")
        found += inside
    names: dict[str, Path] = {}
    for path in found:
        if path.suffix != ".parquet":
            raise ValueError(f"{path}: --scheduler reads parquet files, or folders of them")
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        if path.name in names:
            raise ValueError(
                f"{names[path.name]} and {path} have the same name, and would be written to the "
                "same file; rename one"
            )
        names[path.name] = path
    return [path.absolute() for path in found]


def _check_apart(targets: dict[Path, Path]) -> None:
    """Raise if a result would be written over one of the files that are read."""
    read = {(state.st_dev, state.st_ino): path for path in targets for state in [path.stat()]}
    for target in targets.values():
        if target.exists():
            state = target.stat()
            source = read.get((state.st_dev, state.st_ino))
            if source is not None:
                raise ValueError(
                    f"{source} would be replaced by its result or that of another file; give -o "
                    "another folder"
                )


def _label_types(sources: list[Path]) -> dict[Path, dict[str, Any]]:
    """Return the types of the columns of each file: those that hold the cells of all files."""
    pyarrow = arrow()
    names: dict[Path, list[str]] = {source: [] for source in sources}
    filled: dict[str, dict[Any, Any]] = {}
    empty: dict[str, dict[Any, Any]] = {}
    for source in sources:
        with suppress(pyarrow.ArrowException, OSError):  # its worker says what is wrong
            metadata = pyarrow.parquet.read_metadata(source)
            with_values = _with_values(metadata)
            for field in metadata.schema.to_arrow_schema():
                found = filled if field.name in with_values else empty
                one = pyarrow.schema([(field.name, field.type)])
                found.setdefault(field.name, {})[field.type] = one
                names[source].append(field.name)
    common = {}
    for name, schemas in {**empty, **filled}.items():
        with suppress(pyarrow.ArrowException):  # texts and numbers stay what they are
            joined = pyarrow.unify_schemas(list(schemas.values()), promote_options="permissive")
            common[name] = joined.field(0).type
    return {
        source: {name: common[name] for name in columns if name in common}
        for source, columns in names.items()
    }


def _with_values(metadata: Any) -> set[str]:
    """Return the columns of a file that hold more than missing values."""
    found = set()
    for i in range(metadata.num_row_groups):
        for j in range(metadata.num_columns):
            column = metadata.row_group(i).column(j)
            known = column.statistics
            n_empty = known.null_count if known is not None and known.has_null_count else 0
            if n_empty < column.num_values:
                found |= {column.path_in_schema, column.path_in_schema.partition(".")[0]}
    return found


def _todo(
    folder: Path, sources: dict[Path, dict[str, Any]], facts: dict[str, Any], overwrite: bool
) -> dict[Path, str]:
    """Return the files to process, with a note for each; raise if existing results do not fit."""
    facts = json.loads(json.dumps(facts))  # as it will be read: tuples are lists
    notes = {
        source: {"facts": facts, "source": _state(source, types)}
        for source, types in sources.items()
    }
    todo = {source: json.dumps(note, sort_keys=True) for source, note in notes.items()}
    by_name = {source.name: source for source in sources}
    for path in sorted(folder.glob("*.parquet")):
        source = by_name.get(path.name)
        if source is not None and overwrite:
            continue
        way_out = "or remove this file" if source is None else "or pass --overwrite"
        found = _read_note(path)
        if found is None:
            raise FileExistsError(
                f"{path}: the folder holds parquet files of something else; give another folder, "
                f"{way_out}"
            )
        if found["facts"] != facts:
            raise ValueError(
                f"{path} holds the results of another model, table or command; give another "
                f"folder, {way_out}"
            )
        if source is None:
            continue
        if found["source"]["path"] != notes[source]["source"]["path"]:
            raise ValueError(
                f"{path} holds the results of {found['source']['path']}, not of {source}; give "
                f"another folder, {way_out}"
            )
        if found["source"] == notes[source]["source"]:
            del todo[source]
    return todo


def _state(path: Path, types: dict[str, Any]) -> dict[str, Any]:
    """Return the facts by which a change of the file, or of types in others, is noticed."""
    state = path.stat()
    return {
        "path": os.path.realpath(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns,
        "types": {name: str(kind) for name, kind in types.items()},
    }  # fmt: skip


def _read_note(path: Path) -> dict[str, Any] | None:
    """Return the note of a result: what it depends on. None if skuae did not write it."""
    try:
        note = json.loads(arrow().parquet.read_metadata(path).metadata[_NOTE])
        note["facts"], note["source"]["path"]
    except (ValueError, TypeError, KeyError, OSError):  # damaged, or of something else
        return None
    return note


@contextmanager
def _client(args: argparse.Namespace) -> Iterator[Any]:
    """Connect to a scheduler, or start one with workers on this machine."""
    dask = _dask()
    if args.scheduler != "local":
        try:
            client = dask.Client(args.scheduler, timeout=30)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--scheduler {args.scheduler}: no scheduler of dask answers there ({error})"
            ) from error
        with client:
            yield client
        return
    with (
        dask.LocalCluster(
            n_workers=_n_workers(args.jobs),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        yield client


def _n_workers(jobs: int | None) -> int:
    """Return how many workers to start, all cores by default."""
    return effective_n_jobs(-1 if jobs is None else jobs)


def _compute(
    args: argparse.Namespace,
    compute: Compute,
    load: tuple[Callable[..., Any], *tuple[Any, ...]],
    tasks: dict[Path, tuple[Path, str, dict[str, Any]]],
) -> dict[Path, str]:
    """Make the tables; return the errors of those that failed."""
    if not tasks:
        return {}
    wrong: dict[Path, str] = {}
    with _client(args) as client:
        # The result of a task, unlike data that are sent, is made again if its worker is lost.
        shared = client.submit(*load, pure=False)
        _dask().wait(shared)
        if shared.status == "error":
            raise shared.exception()
        futures = {
            client.submit(_try, compute, shared, str(source), *task, pure=False): source
            for source, task in tasks.items()
        }
        with tqdm(total=len(futures), unit=" files", disable=bool(args.quiet)) as progress:
            for future in _dask().as_completed(futures):
                error = future.exception()
                said = future.result() if error is None else _said(error)
                if said is not None:
                    wrong[futures[future]] = said
                progress.update()
    return wrong


def _try(*task: Any) -> str | None:
    """Make one table in a worker; return what is wrong, of which dask would log a traceback."""
    try:
        _make(*task)
    except Exception as error:
        return _said(error)
    return None


def _said(error: BaseException) -> str:
    """Return what an error says, with its class if that may tell nothing."""
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _make(
    compute: Compute, shared: Any, source: str, target: Path, note: str, labels: dict[str, Any]
) -> None:
    """Make one table in a worker, and write it with its note, all or nothing."""
    pyarrow = arrow()
    frame, types = compute(shared, source)
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    # A column without values would have no type, nor integers with a gap that of the others: then
    # the files of a folder could not be read as one table.
    types = {**labels, "id": pyarrow.string(), "error": pyarrow.string(), **types}
    for i, name in enumerate(table.schema.names):
        kind = types.get(name, table[i].type)
        with suppress(pyarrow.ArrowException):  # what another type cannot hold stays as it is
            empty = table[i].null_count == len(table)
            cells = pyarrow.nulls(len(table), kind) if empty else table[i].cast(kind)
            table = table.set_column(i, name, cells)
    table = table.replace_schema_metadata({**table.schema.metadata, _NOTE: note})
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    write_bytes(target, content.getvalue())


def _count(targets: list[Path]) -> tuple[int, str | None]:
    """Count the rows of tables; say how many failed, if any did."""
    n_rows = n_failed = 0
    first = None
    for target in targets:
        table = pd.read_parquet(target, columns=["id", "error"])
        failed = table[table["error"].notna()]
        n_rows, n_failed = n_rows + len(table), n_failed + len(failed)
        if len(failed) and first is None:
            first = f"{failed['id'].iloc[0]}: {failed['error'].iloc[0]}"
    if first is None:
        return n_rows, None
    return n_rows, f"{n_failed} of {n_rows} rows failed; the first is {first}"
