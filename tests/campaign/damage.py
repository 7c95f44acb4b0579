"""Damage to bytes and to JSON that knows nothing of what they mean."""

import json
from typing import Any

import numpy as np

_JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x", "1e5", [], {},
    [[]], {"": None}, [1, 2, 3],
)  # fmt: skip


def damage(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damage bytes at random.

    Parameters
    ----------
    content : bytes
        Not empty.
    rng : Generator

    Returns
    -------
    name : str
        What was done.
    content : bytes
    """
    at, to = sorted(int(i) for i in rng.integers(0, len(content), 2))
    noise = rng.bytes(int(rng.integers(1, 20)))
    line = content.split(b"\n")
    several = [int(i) for i in rng.integers(0, len(line), 2)]
    swapped = list(line)
    swapped[several[0]], swapped[several[1]] = swapped[several[1]], swapped[several[0]]
    ways = {
        "cut": content[:at],
        "beginning cut": content[at:],
        "hole": content[:at] + content[to:],
        "bit flipped": content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :],
        "noise": content[:at] + noise + content[at:],
        "zeros": content[:at] + bytes(to - at) + content[to:],
        "doubled": content + content,
        "part doubled": content[:to] + content[at:],
        "lines swapped": b"\n".join(swapped),
        "line dropped": b"\n".join(line[: several[0]] + line[several[0] + 1 :]),
        "UTF-16": content.decode("latin-1").encode("utf-16"),
        "digits huge": content[:at] + b"9" * 400 + content[at:],
        "empty": b"",
        "deep": b"[" * 200_000,
    }
    name = str(rng.choice(list(ways)))
    return name, ways[name]


def disturb(content: Any, rng: np.random.Generator) -> tuple[tuple[str, str], Any]:
    """Replace, drop or nest one node of what JSON holds.

    Parameters
    ----------
    content : dict or list
    rng : Generator

    Returns
    -------
    where, what : str
        Where the node was, and what it became.
    content : dict or list
        A changed copy.
    """
    content = json.loads(json.dumps(content))
    node, path = content, ""
    holder: Any = None
    last: Any = None
    while isinstance(node, (dict, list)) and node and (holder is None or rng.random() < 0.75):
        keys: list = list(node if isinstance(node, dict) else range(len(node)))
        holder, last = node, keys[int(rng.integers(len(keys)))]
        node, path = node[last], f"{path}/{'#' if isinstance(last, int) else last}"
    if rng.random() < 0.3:
        del holder[last]
        return (path, "dropped"), content
    if rng.random() < 0.1:
        holder[last] = [node]
        return (path, "nested"), content
    holder[last] = _JUNK[int(rng.integers(len(_JUNK)))]
    return (path, f"is {str(holder[last])[:12]}"), content
