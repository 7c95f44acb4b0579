"""Files from the web, kept in one folder. Only complete and checked files are kept."""

import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_TIMEOUT = 30  # seconds without any answer
_CHUNK = 1 << 20  # bytes


def data_folder() -> Path:
    """Return the folder of downloads, which may not exist yet.

    Returns
    -------
    Path
        The environment variable ``SKUAE_DATA``, else where the system keeps caches.
    """
    import pooch

    return Path(os.environ.get("SKUAE_DATA") or pooch.os_cache("skuae")).expanduser()


def make_folder(folder: Path) -> None:
    """Make a folder of downloads unless it is there; say what to do if that cannot be.

    Parameters
    ----------
    folder : Path
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_keep(folder, error) from error


def cannot_keep(folder: Path, error: OSError) -> OSError:
    """Return the error of a folder of downloads that cannot be written to.

    Parameters
    ----------
    folder : Path
    error : OSError

    Returns
    -------
    OSError
        It says what to do.
    """
    return OSError(
        f"downloads cannot be kept in {folder} ({error}); the environment variable SKUAE_DATA "
        "names another folder for them"
    )


def download(
    name: str,
    urls: Sequence[str],
    *,
    known_hash: str | None = None,
    resume: bool = False,
    verbose: int = 0,
) -> Path:
    """Get a file from the first address that has it, unless it is there already.

    Parameters
    ----------
    name : str
        File name in the folder of downloads. A name that ends in ``.zip`` is that of a ZIP file
        with a member of this name without ``.zip``. Where no hash is known, it must be one: such
        files carry checksums of their own.
    urls : list of str
    known_hash : str, optional
        ``"sha256:..."`` or ``"md5:..."``.
    resume : bool, default=False
        Keep the beginning of a file whose transfer breaks off, in ``name + ".part"``, and go on
        there in the next call. Needs a hash, which tells whether the parts fit.
    verbose : int, default=0
        Show a progress bar if above 0.

    Returns
    -------
    Path

    Raises
    ------
    ConnectionError
        If no address gave the file, or not as published. The message says what to do by hand.
    """
    import pooch
    import requests

    def get(url: str, file: str, _: object) -> None:
        if resume:
            _go_on(url, path.with_name(f"{name}.part"), file, verbose)
        else:
            pooch.HTTPDownloader(progressbar=verbose > 0, timeout=_TIMEOUT)(url, file, None)
        # figshare turns some clients away with an empty answer that counts as success
        if not os.path.getsize(file):
            raise ValueError("the answer was empty; a browser may be let through")
        if name.endswith(".zip"):
            _check_zip(file, path.stem)

    path = data_folder() / name
    make_folder(path.parent)
    spoilt = ""
    if path.exists():
        spoilt = f"\nThe file {path} that was there is not the published one, or is damaged."
        if known_hash is None:
            try:
                _check_zip(path, path.stem)
            except ValueError:
                _remove(path)  # pooch would take it as it is
    reasons = []
    for url in urls:
        try:
            with _quiet(pooch.get_logger()):
                got = pooch.retrieve(url, known_hash, fname=name, path=path.parent, downloader=get)
            return Path(got)
        except (requests.RequestException, ValueError) as error:
            reasons.append(f"\n  {url}: {error}")
        except OSError as error:
            raise cannot_keep(path.parent, error) from error
    kept = resume and path.with_name(f"{name}.part").exists()
    again = "Call again to go on where it stopped" if kept else "Try again later"
    raise ConnectionError(
        f"could not get {name}:{''.join(reasons)}{spoilt}\n"
        f"{again}; or download the file by hand (a browser, another machine) from "
        f"{urls[0]}, save it as {path}"
        f"{f' (checksum {known_hash})' if known_hash else ''}, and call again. The environment "
        "variable SKUAE_DATA names another folder for such files"
    )


def _go_on(url: str, part: Path, file: str, verbose: int) -> None:
    """Download what a partial file lacks, and move it to `file` when it is complete."""
    import requests
    from tqdm.auto import tqdm

    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing lies behind the part: complete, or another file
            os.replace(part, file)
            return
        answer.raise_for_status()
        start = start if answer.status_code == 206 else 0  # else the whole file comes
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        bar = tqdm(
            total=total, initial=start, unit="B", unit_scale=True, unit_divisor=1024,
            disable=verbose < 1,
        )  # fmt: skip
        with bar, open(part, "ab" if start else "wb") as stream:
            for chunk in answer.iter_content(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
    os.replace(part, file)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise cannot_keep(path.parent, error) from error


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence pooch's messages, which explain pooch rather than skuae."""

    def grave(
        record: logging.LogRecord,
    ) -> bool:  # setLevel would not do: this logger remembers what it let through
        return record.levelno >= logging.WARNING

    logger.addFilter(grave)
    try:
        yield
    finally:
        logger.removeFilter(grave)


def _check_zip(file: str | Path, member: str) -> None:
    with open(file, "rb") as stream:  # a file that may not be read is not a damaged one
        try:
            with zipfile.ZipFile(stream) as archive:
                damaged, members = archive.testzip(), archive.namelist()
        except Exception:  # damage gives a dozen kinds, from zlib.error to NotImplementedError
            raise ValueError("the answer was no ZIP file, or a damaged one") from None
    if damaged is not None:
        raise ValueError(f"{damaged} in the ZIP file does not have its checksum")
    if member not in members:
        raise ValueError(
            f"the ZIP file has no {member}, only {', '.join(members[:5]) or 'nothing'}"
        )
