"""Predictions as text for a terminal: values with their standard deviations, wrapped heads."""

import math
import re
from collections.abc import Sequence
from textwrap import shorten
from typing import Any, NamedTuple

import pandas as pd

_HEAD = 16  # characters of a line of a head, unless the numbers below it are wider
_SHORTEST = 40  # characters of a reason, however narrow the terminal
_GAP = "  "


class _Column(NamedTuple):
    """A column of the printed table.

    Attributes
    ----------
    name : str
    cells : list of str
    unit : str
        In brackets; empty if there is none.
    """

    name: str
    cells: list[str]
    unit: str = ""

    @property
    def widest(self) -> int:
        """The characters of its widest cell."""
        return max(map(len, self.cells))

    @property
    def lines(self) -> list[str]:
        """The lines of its head."""
        width = max(_HEAD, self.widest)
        whole = f"{self.name} {self.unit}".strip()
        if len(whole) <= width:
            return [whole]
        return [*_wrap(self.name, width), *(_wrap(self.unit, width) if self.unit else [])]

    @property
    def width(self) -> int:
        """The characters that it takes."""
        return max(self.widest, *map(len, self.lines))


def printed(table: pd.DataFrame, units: dict[str, str], width: int) -> str:
    """Return a table of predictions as text.

    Columns that do not fit beside each other follow in another table below. A row that failed has
    its reason in place of numbers, in the first table only. Columns without any value are left out.

    Parameters
    ----------
    table : DataFrame
        Its first column is ``id``; the others are those of `predict_frame`.
    units : dict of str to str
        Units of targets.
    width : int
        Characters of a line.

    Returns
    -------
    str
    """
    ids = [_text(name) for name in table["id"]]
    indent = max(map(len, [*ids, "id"]))
    room = width - indent - len(_GAP)
    reasons = [
        None if pd.isna(reason) else shorten(reason, max(room, _SHORTEST))
        for reason in table["error"]
    ]
    columns = _columns(table[table["error"].isna()], units)
    first, *others = _split(columns, room)
    without = [reason and "" for reason in reasons]
    blocks = [_block(first, ids, indent, reasons)]
    blocks += [_block(group, ids, indent, without) for group in others]
    return "\n\n".join(blocks)


def _columns(table: pd.DataFrame, units: dict[str, str]) -> list[_Column]:
    """Return the columns of the rows that were predicted."""
    columns = []
    target = ""
    for name in table:
        if name in ("id", "error") or not table[name].replace("", None).notna().any():
            continue
        values = list(table[name])
        if name.endswith("_predicted"):
            target = name.removesuffix("_predicted")
            std = table.get(f"{target}_std")
            cells = map(_number, values) if std is None else map(_with_std, values, std)
            unit = f"({units[target]})" if target in units else ""
            columns.append(_Column(_text(target), list(cells), unit))
        elif name == f"{target}_std":
            continue
        elif name.startswith(f"{target}_p_"):
            label = name.removeprefix(f"{target}_p_")
            columns.append(_Column(_text(f"p({label})"), [f"{value:.3f}" for value in values]))
        else:
            columns.append(_Column(name, [_number(value) for value in values]))
    return columns


def _split(columns: list[_Column], room: int) -> list[list[_Column]]:
    """Return columns in groups that fit into a line; there is at least one group."""
    groups: list[list[_Column]] = [[]]
    left = room
    for column in columns:
        if groups[-1] and column.width > left:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= column.width + len(_GAP)
    return groups


def _block(
    columns: list[_Column], ids: Sequence[str], indent: int, reasons: Sequence[str | None]
) -> str:
    """Return columns under their heads; rows whose reason is an empty text are left out."""
    heads = [column.lines for column in columns] or [["error"]]
    widths = [column.width for column in columns] or [0]
    height = max(map(len, heads))
    heads = [[""] * (height - len(lines)) + lines for lines in heads]
    names = [""] * (height - 1) + ["id"]
    lines = [_line(name, indent, cells, widths) for name, *cells in zip(names, *heads, strict=True)]
    row = 0
    for name, reason in zip(ids, reasons, strict=True):
        if reason is None:
            lines.append(_line(name, indent, [column.cells[row] for column in columns], widths))
            row += 1
        elif reason:
            lines.append(f"{name:<{indent}}{_GAP}{reason}")
    return "\n".join(lines)


def _line(name: str, indent: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    right = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
    return _GAP.join([f"{name:<{indent}}", *right]).rstrip()


def _with_std(value: float, std: float) -> str:
    """Return a number with its standard deviation, of which two digits are shown."""
    if not (math.isfinite(value) and math.isfinite(std) and 1e-6 < std < 1e6):
        return f"{value:.5g} ± {std:.2g}"
    decimals = 1 - int(f"{std:.1e}".partition("e")[2])
    shown = max(decimals, 0)
    value = round(value, decimals) + 0.0  # no -0.0
    return f"{value:.{shown}f} ± {round(std, decimals):.{shown}f}"


def _number(value: Any) -> str:
    """Return a number with five digits, or a text as it is."""
    return f"{value:.5g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    """Return a value on one line; nothing for a missing one."""
    return "" if value is None else str(value).replace("\n", "\\n")


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a head, broken at spaces and after underscores."""
    lines = [""]
    for piece in re.findall(r"[^_ ]+[_ ]*|[_ ]+", text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
