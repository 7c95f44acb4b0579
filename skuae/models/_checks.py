"""Parameters of specifications, checked alike."""

import math
from numbers import Integral, Real


def check_at_least(spec, least, *names):
    """Raise ValueError unless these parameters are integers, `least` or more."""
    for name in names:
        value = getattr(spec, name)
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer, at least {least}; got {value!r}")


def check_cutoff(spec):
    """Raise ValueError unless ``spec.cutoff`` is a sensible number of Å."""
    if not isinstance(spec.cutoff, Real) or not 0.5 <= spec.cutoff < math.inf:
        raise ValueError(f"cutoff must be a number of Å, at least 0.5; got {spec.cutoff!r}")
