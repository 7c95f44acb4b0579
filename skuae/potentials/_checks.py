"""Checks of parameters that several classes share."""

from numbers import Integral
from typing import Any

from skuae._numbers import is_real

FARTHEST = 20.0  # Å; there are 30,000 atoms in such a sphere of iron


def check_at_least(owner: Any, name: str, least: int) -> None:
    """Raise ValueError unless a parameter is an integer of at least so much.

    Parameters
    ----------
    owner : object
        Has the parameter as an attribute.
    name : str
    least : int
    """
    value = getattr(owner, name)
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer, at least {least}; got {value!r}")


def check_numbers(owner: Any, *names: str, zero: bool = False) -> None:
    """Raise ValueError unless parameters are finite numbers above 0, or 0 where that is allowed.

    Parameters
    ----------
    owner : object
        Has the parameters as attributes.
    *names : str
    zero : bool, default=False
    """
    for name in names:
        value = getattr(owner, name)
        if not is_real(value) or not 0 <= value < float("inf") or (value == 0 and not zero):
            least = "at least 0" if zero else "above 0"
            raise ValueError(f"{name} must be a finite number, {least}; got {value!r}")


def check_flags(owner: Any, *names: str) -> None:
    """Raise ValueError unless parameters are bools.

    Parameters
    ----------
    owner : object
        Has the parameters as attributes.
    *names : str
    """
    for name in names:
        if not isinstance(getattr(owner, name), bool):
            raise ValueError(f"{name} must be True or False; got {getattr(owner, name)!r}")


def check_cutoffs(owner: Any) -> None:
    """Raise ValueError unless the cutoffs of a potential make sense.

    Parameters
    ----------
    owner : Potential
        Has `cutoff` and `bond_cutoff`.
    """
    check_numbers(owner, "cutoff", "bond_cutoff")
    if owner.cutoff > FARTHEST:
        raise ValueError(f"cutoff must be at most {FARTHEST} Å; got {owner.cutoff}")
    if owner.bond_cutoff > owner.cutoff:
        raise ValueError(
            f"bond_cutoff must be at most the cutoff of {owner.cutoff} Å; got {owner.bond_cutoff}"
        )
