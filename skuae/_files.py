"""Files that are written all or nothing, and checked when they are read. Nothing is unpickled."""

import errno
import hashlib
import json
import os
import platform
import re
import stat
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

_KEY = "skuae"  # one key only: safetensors writes several in random order
# Temporary files are named by machine and process, so that those of killed processes can be told.
_OURS = f"skuae-{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"(skuae-[0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp")
_LONGEST = 86400.0  # seconds after which a temporary file of another machine has no writer
# Files whose checksums were right in this process, by what changes with their content. A file that
# was written just now may change again within one tick of the clock of the disk.
_CHECKED: dict[tuple[Any, ...], str] = {}
_SAME = "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"
_SETTLED = 2.0  # seconds
_DTYPES = {  # of safetensors, those that arrays of skuae have
    "BOOL": "?", "U8": "u1", "U32": "<u4", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F32": "<f4",
    "F64": "<f8",
}  # fmt: skip


def write_bytes(path: str | PathLike[str], content: bytes) -> None:
    """Write a file all or nothing: a reader finds the old content or the new, never a part.

    A link is followed, and a file that is there keeps its access rights.

    Parameters
    ----------
    path : str or path-like
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written (no folder, no permission, disk full). Its `filename` is
        `path`, and what was there is untouched.
    """
    try:
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        reason = f"{error.strerror or error}; the file was not written"
        raise OSError(error.errno, reason, str(path)) from error


def make_folder(path: str | PathLike[str]) -> Path:
    """Make a folder unless it is there.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If there is a file of that name, or the folder cannot be made.
    ValueError
        If it is an address, such as ``hf://owner/name``.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is an address; give the path of a folder on this machine")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        reason = "there is a file of that name, or on the way there; give the path of a folder"
        raise type(error)(error.errno, reason, str(path)) from error
    return folder


def check_companions(folder: Path, marks: Mapping[str, str], what: str = "model") -> None:
    """Check that files to be replaced are those of an older model or table, not of the user.

    Parameters
    ----------
    folder : Path
    marks : dict of str to str
        By the name of a file that is written with a model, such as its card: a regular expression
        found in each such file of skuae, line by line.
    what : {"model", "table"}
        What is saved, for the message.

    Raises
    ------
    FileExistsError
        If there is such a file without its mark.
    """
    for name, mark in marks.items():
        path = folder / name
        if path.exists() and not is_own(path, mark):
            reason = (
                f"the file is not of a saved {what}, and is not replaced; save to another folder"
            )
            raise FileExistsError(errno.EEXIST, reason, str(path))


def is_own(path: Path, mark: str) -> bool:
    """Return whether there is a file that skuae wrote.

    Parameters
    ----------
    path : Path
    mark : str
        A regular expression, as in `check_companions`.

    Returns
    -------
    bool
    """
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.search(mark, text, re.MULTILINE) is not None


def _replace(path: Path, content: bytes) -> None:
    mode = _mode(path)
    _sweep(path.parent)
    temporary = path.with_name(f"{_OURS}-{os.getpid()}-{uuid.uuid4().hex[:12]}.tmp")
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode or 0o666)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a crash of the machine may leave an empty file
        if mode not in (None, _mode(temporary)):
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """Return the access rights of the file to replace; None if it does not exist."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "the link leads back to itself")
    if not path.exists():
        return None
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder or a device, not a file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected")
    return stat.S_IMODE(path.stat().st_mode)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    for left in folder.glob("skuae-*.tmp"):
        found = _TEMPORARY.fullmatch(left.name)
        with suppress(OSError):  # another process may sweep too
            if found and (
                (found[1] == _OURS and not _is_running(int(found[2])))
                or time.time() - left.stat().st_mtime > _LONGEST
            ):
                left.unlink()


def _is_running(pid: int) -> bool:
    """Return whether a process of this machine may be running."""
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_safetensors(
    path: str | PathLike[str],
    tensors: Mapping[str, np.ndarray],
    card: dict[str, Any],
    *,
    format: str,
) -> str:
    """Write arrays with a card in the file's metadata, and a checksum over both.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.safetensors``.
    tensors : dict of ndarray
    card : dict
        JSON-able.
    format : str
        What kind of file it is, and in which version.

    Returns
    -------
    str
        The checksum.

    Raises
    ------
    ValueError
        If the file name does not say what it is.
    TypeError
        If the card holds what JSON cannot.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{path}: name the file *.safetensors")
    # safetensors writes the memory of an array as it lies, so let it lie in order.
    tensors = {
        name: array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
        for name, array in tensors.items()
    }
    try:
        card = json.loads(json.dumps(card))  # as it will be read: keys are strings, tuples lists
        checksum = _sha256(tensors, card)
        text = json.dumps({"format": format, "sha256": checksum, **card})
    except TypeError as error:
        raise TypeError(f"what is saved beside the numbers must fit into JSON: {error}") from error
    write_bytes(path, save(tensors, metadata={_KEY: text}))
    return checksum


def read_safetensors(
    path: str | PathLike[str], *, format: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_safetensors` wrote.

    Parameters
    ----------
    path : str or path-like
    format : str
        As when it was written.

    Returns
    -------
    tensors : dict of ndarray
    card : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind or version, is damaged, or was changed since it was written.
    """
    tensors, card, _ = _read(path, format, _load)
    return tensors, card


def peek_card(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the card of a file of `write_safetensors`, with its format, unchecked.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict
        Empty if there is none, or it cannot be read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {})[_KEY])
    except Exception:  # damage gives a dozen kinds, as in `_read`, which says what is wrong
        return {}
    return card if isinstance(card, dict) else {}


def map_safetensors(
    path: str | PathLike[str], *, format: str
) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Map what `write_safetensors` wrote into memory: processes share it, and it takes none of it.

    Parameters
    ----------
    path : str or path-like
    format : str
        As when it was written.

    Returns
    -------
    tensors : dict of ndarray
        Read-only.
    card : dict
    checksum : str
        As `write_safetensors` returned it. The content has been checked against it, once in this
        process as long as the file is the same.

    Raises
    ------
    FileNotFoundError, ValueError
        As of `read_safetensors`.
    """
    return _read(path, format, _map, once=True)


def _read(
    path: str | PathLike[str],
    format: str,
    load: Callable[[Any, Any], dict[str, np.ndarray]],
    once: bool = False,
) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Read a file and check it; `load` gets its path and the open file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb") as opened:  # a file that may not be read is not a damaged one
        state = os.fstat(opened.fileno())
    try:
        with safe_open(path, framework="numpy") as file:  # which checks the header
            card = json.loads((file.metadata() or {})[_KEY])
            tensors = load(path, file)
        found, expected = card.pop("format"), card.pop("sha256")
    except Exception as error:  # damage gives a dozen kinds, from SafetensorError to RecursionError
        raise ValueError(
            f"{path} is damaged, or was not written by skuae; copy it again, or write it again"
        ) from error
    if found != format:
        why = "another version of skuae wrote it; use that version, or write it again with this one"
        if str(found).rpartition("-")[0] != format.rpartition("-")[0]:
            why = "it holds another kind of thing; read it by the class that wrote it"
        raise ValueError(f"{path} has format {found!r}, expected {format!r}: {why}")
    key = (os.path.realpath(path), *(getattr(state, name) for name in _SAME))
    if once and _CHECKED.get(key) == expected:
        return tensors, card, expected
    if expected != _sha256(tensors, card):
        raise ValueError(f"{path} was changed since it was written: its checksum does not match")
    if once and time.time() - state.st_mtime > _SETTLED:
        _CHECKED[key] = expected
    return tensors, card, expected


def _load(path: Any, file: Any) -> dict[str, np.ndarray]:
    return {name: file.get_tensor(name) for name in file.keys()}


def _map(path: Any, file: Any) -> dict[str, np.ndarray]:
    data = np.asarray(np.memmap(path, np.uint8, mode="r"))
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    tensors = {}
    for name in file.keys():
        begin, end = header[name]["data_offsets"]
        flat = data[start + begin : start + end].view(_DTYPES[header[name]["dtype"]])
        tensors[name] = flat.reshape(header[name]["shape"])
    return tensors


@contextmanager
def checked_content(path: str | PathLike[str], what: str) -> Iterator[None]:
    """Turn whatever goes wrong with the content of a file into a ValueError that names the file.

    A checksum tells that a file is what was written, not that this version can make sense of it.

    Parameters
    ----------
    path : str or path-like
    what : str
        What the file should hold, with its article.

    Raises
    ------
    ValueError
    """
    try:
        yield
    except Exception as error:  # missing keys, other types, numbers out of range
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(
            f"{path} does not hold {what} that this version of skuae can read "
            f"({kind}{error!s:.500}); "
            "write it again, or use the version that wrote it"
        ) from error


def _sha256(tensors: Mapping[str, np.ndarray], card: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
