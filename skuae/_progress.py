"""Progress bars of steps deep inside, shown where an estimator with `verbose` asks for them.

Back-ends build the graphs that they read and know nothing of `verbose`. So the estimator says in a
context variable whether bars are shown, and the code that builds graphs reads it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm.auto import tqdm

_SHOWN = ContextVar("skuae_progress_shown", default=False)
_DELAY = 0.5  # s; shorter steps show no bar


@contextmanager
def show_progress(verbose: int) -> Iterator[None]:
    """Show the bars of all steps inside the ``with`` block, or none of them.

    Parameters
    ----------
    verbose : int
        0 for none. Of several ranks of torch.distributed, the first alone shows them.
    """
    token = _SHOWN.set(bool(verbose) and _is_first())
    try:
        yield
    finally:
        _SHOWN.reset(token)


def _is_first() -> bool:
    from skuae._ranks import is_first  # which loads torch

    return is_first()


def progress_bar(total: int, what: str, unit: str) -> Any:
    """Return a bar of tqdm, to be used with ``with`` and advanced with ``update``.

    Parameters
    ----------
    total : int
    what : str
        What is done; it stands before the bar.
    unit : str
        What is counted, in the plural.

    Returns
    -------
    tqdm
        It shows nothing outside of `show_progress`.
    """
    return tqdm(
        total=total, desc=what, unit=f" {unit}", delay=_DELAY, mininterval=0.5,
        disable=not _SHOWN.get(),
    )  # fmt: skip
