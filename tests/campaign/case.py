"""What a campaign tries: an input, what must come of it, and what came of it."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Verdict = Literal["read", "either", "refuse"]

# Errors that a user may meet. All others are slips, however much they say.
NAMED_ERRORS = (ValueError, TypeError, FileNotFoundError)


class Fault(Exception):
    """What came of an input is wrong.

    Parameters
    ----------
    kind : str
        A word or two, by which faults are counted.
    text : str
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text


@dataclass(frozen=True)
class Case:
    """One input, and what must come of it.

    Parameters
    ----------
    mutations : tuple of str
        What was done to a valid input.
    files : dict of bytes by file name
        The input.
    verdict : {"read", "either", "refuse"}
        Whether it must be read, may be, or must not.
    check : callable
        Reads the files in a folder and uses what they hold; raises `Fault` if that is wrong, and
        whatever skuae raises.
    names : tuple of str
        An error must contain one of these; ``{folder}`` stands for the folder.
    """

    mutations: tuple[str, ...]
    files: dict[str, bytes]
    verdict: Verdict
    check: Callable[[Path], None]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of one input; `fault` is empty if nothing is wrong."""

    end: str  # "read", "refused" or "fault"
    fault: str = ""
    text: str = ""
    mutations: tuple[str, ...] = ()
    where: dict[str, int | str] = field(default_factory=dict)  # kind, seed and index


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on an input with several mutations."""
    found = set(verdicts)
    return "refuse" if "refuse" in found else "either" if "either" in found else "read"


def judge(case: Case, folder: Path) -> Outcome:
    """Try an input whose files are in a folder.

    Parameters
    ----------
    case : Case
    folder : Path

    Returns
    -------
    Outcome
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning does not make a wrong result right
            case.check(folder)
    except Fault as fault:
        return Outcome("fault", fault.kind, fault.text, case.mutations)
    except Exception as error:
        return _judge_error(case, folder, error)
    if case.verdict == "refuse":
        return Outcome("fault", "accepted", "no error", case.mutations)
    return Outcome("read", mutations=case.mutations)


def _judge_error(case: Case, folder: Path, error: Exception) -> Outcome:
    text = f"{type(error).__name__}: {error}"
    fault = ""
    if isinstance(error, MemoryError):
        fault = "memory"
    elif not isinstance(error, NAMED_ERRORS):
        fault = "wrong error"
    elif not any(name.format(folder=folder) in str(error) for name in case.names):
        fault = "unnamed"
    elif case.verdict == "read":
        fault = "refused"
    return Outcome("fault" if fault else "refused", fault, text[:2000], case.mutations)


def outcome_of(kind: str, seed: int, attempt: Callable[[], object]) -> Outcome:
    """Try what has no input of its own, and return what came of it.

    Parameters
    ----------
    kind : str
    seed : int
    attempt : callable
        Raises `Fault` if something is wrong.

    Returns
    -------
    Outcome
    """
    where: dict[str, int | str] = {"kind": kind, "seed": seed}
    try:
        attempt()
    except Fault as fault:
        return Outcome("fault", fault.kind, fault.text, where=where)
    return Outcome("read", where=where)
