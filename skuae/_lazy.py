"""Names of a package that are imported when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, sources: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    The package imports the same names under ``if TYPE_CHECKING``, for type checkers and editors.

    Parameters
    ----------
    package : str
        The ``__name__`` of the package.
    sources : dict of str to list of str
        Names by the module that they come from. Those of the package itself are modules in it.

    Returns
    -------
    getattr, dir : callable
    """
    source_of = {name: source for source, names in sources.items() for name in names}

    def get(name: str) -> Any:
        if name not in source_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        source = source_of[name]
        if source == package:
            value = import_module(f"{package}.{name}")
        else:
            value = getattr(import_module(source), name)
        setattr(sys.modules[package], name, value)  # asked once
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *source_of})

    return get, list_names
