"""The same text in other bytes."""

import numpy as np

from campaign.mutate import pick


def lay_out(
    content: bytes, rng: np.random.Generator, *, more: dict[str, tuple[bytes, bool]] | None = None
) -> tuple[str, bytes, bool]:
    """Write the same text in other bytes.

    Parameters
    ----------
    content : bytes
    rng : Generator
    more : dict, optional
        Further ways, of what the format has for them: content, and whether it must be read.

    Returns
    -------
    name : str
    content : bytes
    must : bool
        Whether it must be read.
    """
    lines = content.split(b"\n")
    ways = {
        "byte-order mark": (b"\xef\xbb\xbf" + content, True),
        "CRLF": (content.replace(b"\n", b"\r\n"), True),
        "CR": (content.replace(b"\n", b"\r"), False),
        "UTF-16": (content.decode().encode("utf-16"), False),
        "tabs": (b"\n".join(x if b"'" in x else x.replace(b" ", b"\t") for x in lines), True),
        "trailing blanks": (b"\n".join(x + b"  " for x in lines), True),
        "no last newline": (content.rstrip(b"\n"), True),
        "empty lines at the end": (content + b"\n\n", True),
        **(more or {}),
    }
    name = pick(rng, *ways)
    return name, *ways[name]
