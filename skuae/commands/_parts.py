"""Tables in parts: workers of dask make one each, and what is there is not made again."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import cpu_count
from tqdm.auto import tqdm

from skuae._files import make_folder, write_bytes
from skuae.commands._output import check_parquet, write_table

_FACTS = "skuae.json"
_MOST_NAMED = 5


def run_parts(
    args: argparse.Namespace,
    compute: Callable[[Any, str], pd.DataFrame],
    load: tuple[Callable[..., Any], *tuple[Any, ...]],
    facts: dict[str, Any],
) -> int:
    """Make a table of each parquet file, on workers of dask; return the exit status.

    Parameters
    ----------
    args : argparse.Namespace
        With `command`, `files`, `output`, `scheduler`, `jobs`, `overwrite` and `quiet`.
    compute : callable
        From what `load` gives and the path of a file to its table, with the columns ``id`` and
        ``error``; runs in a worker.
    load : tuple
        A function and its arguments. It runs once; its result goes to each worker once.
    facts : dict
        What the tables depend on, beside the files.

    Returns
    -------
    int
        1 if some rows have an error.

    Raises
    ------
    ValueError
        If the folder holds results of something else, or files cannot be read; all others are done
        then.
    ImportError
        If dask or pyarrow is missing.
    """
    check_parquet()
    _dask()
    sources = _sources(args.files)
    if args.output is None:
        raise ValueError("--scheduler writes a file for each of FILES: give -o FOLDER")
    folder = make_folder(args.output)
    _check_facts(folder, {"command": args.command, **facts}, args.overwrite)
    targets = {source: folder / source.name for source in sources}
    if args.overwrite:
        for target in targets.values():
            target.unlink(missing_ok=True)
    done = [source for source in sources if targets[source].exists()]
    todo = [source for source in sources if not targets[source].exists()]
    wrong = _compute(args, compute, load, {source: targets[source] for source in todo})
    n_rows, failed = _count([targets[source] for source in sources if source not in wrong])
    before = f" ({len(done)} were there)" if done else ""
    if failed is not None:
        print(f"skuae {args.command}: {failed}", file=sys.stderr)
    print(f"{n_rows} rows in {len(sources) - len(wrong)} files{before} -> {args.output}")
    if wrong:
        named = "; ".join(f"{source}: {reason}" for source, reason in
                          list(wrong.items())[:_MOST_NAMED])  # fmt: skip
        raise ValueError(
            f"{len(wrong)} of {len(sources)} files failed: {named}. The others are done: repair "
            "these, and give the same command again"
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


def _check_facts(folder: Path, facts: dict[str, Any], overwrite: bool) -> None:
    """Note what the results in a folder depend on; raise if that was something else."""
    path, text = folder / _FACTS, json.dumps(facts, indent=1, sort_keys=True)
    if not path.exists():
        if any(folder.glob("*.parquet")) and not overwrite:
            raise FileExistsError(
                f"{folder} holds parquet files of something else; give another folder"
            )
    elif path.read_text(encoding="utf-8") != text and not overwrite:
        raise ValueError(
            f"{folder} holds the results of another model, table or command; give another folder, "
            "or pass --overwrite"
        )
    write_bytes(path, text.encode())


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
    n = cpu_count() if args.jobs in (None, -1) else args.jobs
    with (
        dask.LocalCluster(
            n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        yield client


def _compute(
    args: argparse.Namespace,
    compute: Callable[[Any, str], pd.DataFrame],
    load: tuple[Callable[..., Any], *tuple[Any, ...]],
    targets: dict[Path, Path],
) -> dict[Path, str]:
    """Make the tables; return why some could not be made."""
    if not targets:
        return {}
    wrong: dict[Path, str] = {}
    with _client(args) as client:
        # The result of a task, unlike data that are sent, is made again if its worker is lost.
        shared = client.submit(*load, pure=False)
        _dask().wait(shared)
        if shared.status == "error":
            raise shared.exception()
        futures = {
            client.submit(_make, compute, shared, str(source), str(target), pure=False): source
            for source, target in targets.items()
        }
        with tqdm(total=len(futures), unit=" files", disable=bool(args.quiet)) as progress:
            for future in _dask().as_completed(futures):
                error = future.exception()
                if error is not None:
                    wrong[futures[future]] = f"{type(error).__name__}: {error}"
                progress.update()
    return wrong


def _make(
    compute: Callable[[Any, str], pd.DataFrame], shared: Any, source: str, target: str
) -> None:
    """Make one table, and write it all or nothing; runs in a worker."""
    write_table(target, compute(shared, source))


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
