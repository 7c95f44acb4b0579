"""Limits on the content of files."""

from dataclasses import dataclass


class LimitError(ValueError):
    """What is read is larger than `LIMITS` allow.

    Parameters
    ----------
    message : str
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


@dataclass
class Limits:
    """Limits on files of structures; `LIMITS` holds those in use.

    A file of a few kB can take hours or all memory of a machine: compressed zeros, a count of
    999999999 atoms, thousands of symmetry operations. Files above a limit are refused, and the
    error names the limit. Raise a limit before reading, for example ``skuae.crystals.LIMITS.sites =
    200_000``, or ``--limit sites=200000`` in a shell.

    Parameters
    ----------
    sites : int, default=50_000
        Sites of one structure. In a CIF, rows of atoms times symmetry operations.
    operations : int, default=1_000
        Symmetry operations of a CIF.
    file_bytes : int, default=268_435_456
        Size of a file that holds one structure, after it is decompressed: 256 MiB.
    table_bytes : int, default=2_147_483_648
        Size of a compressed or parquet file that holds many structures, after it is decompressed:
        2 GiB. `write_shards` reads a parquet file in pieces, and limits each piece.

    Examples
    --------
    >>> from skuae.crystals import LIMITS
    >>> LIMITS.operations
    1000
    """

    sites: int = 50_000
    operations: int = 1_000
    file_bytes: int = 256 * 2**20
    table_bytes: int = 2 * 2**30

    def check(self, name: str, found: int, what: str, need: int | None = None) -> None:
        """Raise ValueError if a number exceeds a limit.

        Parameters
        ----------
        name : str
            Name of the limit.
        found : int
            The number found.
        what : str
            Name of the number in the message.
        need : int, optional
            The limit that the message proposes; `found` unless given, for what was counted in part.

        Raises
        ------
        LimitError
            If `found` is above the limit.
        """
        limit = getattr(self, name)
        if found > limit:
            need = found if need is None else need
            raise LimitError(
                f"{what}: {found:,}, more than {limit:,}; if that is right, raise the limit: "
                f"skuae.crystals.LIMITS.{name} = {need}, or --limit {name}={need} in a shell"
            )


LIMITS = Limits()
