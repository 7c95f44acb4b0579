"""Remarks of parsers on files, separate from errors, for the user."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from skuae._warnings import ONE_AT_A_TIME, warn

_MOST_NAMES = 50
ROUNDED = "rounded to ideal values"  # in pymatgen's remark that 0.3333 was taken for 1/3


@contextmanager
def remarks_caught() -> Iterator[list[str]]:
    """Catch the warnings of a parser; the list that is yielded holds them in the end.

    Yields
    ------
    list of str
    """
    remarks: list[str] = []
    with ONE_AT_A_TIME, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield remarks
    remarks += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def warn_remarks(remarks: Mapping[str, Sequence[str]]) -> None:
    """Warn of what parsers remarked on files: one warning a kind of remark, with all their names.

    The same remark with other counts in it is one kind. Coordinates that were rounded, as in many
    files, are counted with one example.

    Parameters
    ----------
    remarks : dict of str to list of str
        The remarks by the name of the file or row.
    """
    kinds: dict[str, dict[str, str]] = {}
    for name, texts in remarks.items():
        for text in texts:
            kinds.setdefault(re.sub(r"\d+(\.\d+)?", "#", text), {}).setdefault(name, text)
    for said in kinds.values():
        names = list(said)
        of = f"{len(names)} structure{'s' * (len(names) > 1)}"
        if ROUNDED in said[names[0]]:
            warn(
                f"fractional coordinates such as 0.3333 were taken for 1/3 in {of}, for example "
                f"{names[0]}"
            )
            continue
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        warn(
            f"there is a remark on {of} ({', '.join(names[:_MOST_NAMES])}{more}): {said[names[0]]}"
        )
