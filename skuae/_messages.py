"""Parts of messages."""


def such_rows(n: int) -> str:
    """Return how many rows an error or a warning is about that names the first.

    Parameters
    ----------
    n : int

    Returns
    -------
    str
        ``" (3 such rows)"``; nothing for a single row.
    """
    return f" ({n:,} such rows)" if n > 1 else ""
