"""Folders with one writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Refuse a second writer to a folder inside the ``with`` block.

    The operating system lets go of the folder when the process ends, also if it is killed. Windows
    and some network disks have no such locks: there, nothing is refused.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    BlockingIOError
        If another process or thread is inside such a block.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = "another process or thread is writing to this folder; wait until it has ended"
            raise BlockingIOError(error.errno, reason, str(folder)) from error
        except OSError:  # the disk has no locks
            pass
        yield
    finally:
        os.close(descriptor)
