"""The blocks, loops and values of a CIF text, and where they stand in it."""

import re
from functools import lru_cache

_TOKEN = re.compile(
    r"""^;.*?^;                                # text over several lines
    |\#[^\n]*                                  # comment
    |(?:'''(?:(?!''').)*'''|\"{3}(?:(?!\"{3}).)*\"{3})(?!\S)  # in the quotes of CIF 2
    |'(?:[^'\n]|'(?=\S))*'(?!\S)               # quoted
    |"(?:[^"\n]|"(?=\S))*"(?!\S)
    |\S+""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
# Names in the spelling that pymatgen knows. CIF does not tell capitals from small letters, and
# writes _atom_site.label for _atom_site_label in its newer form.
_NAMES = {
    name.lower(): name
    for name in [
        "_cell_length_a", "_cell_length_b", "_cell_length_c",
        "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma",
        "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy",
        "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z",
        "_atom_site_attached_hydrogens", "_atom_type_symbol", "_atom_type_oxidation_number",
        "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz",
        "_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt",
        "_symmetry_Int_Tables_number", "_space_group_IT_number",
        "_chemical_formula_sum", "_chemical_formula_structural",
    ]
}  # fmt: skip

CANONICAL = frozenset(_NAMES.values())
Span = tuple[int, int]
_TRIPLE = ("'''", '"""')


class Loop:
    """The columns and values of a loop."""

    def __init__(self) -> None:
        self.keys: list[re.Match] = []
        self.values: list[re.Match] = []  # row by row
        self.names: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.values) // len(self.keys)

    @property
    def is_complete(self) -> bool:
        """Whether the last row has a value in each column, and no column is named twice."""
        return len(self.values) % len(self.keys) == 0 and len(self.names) == len(self.keys)

    def value(self, name: str, row: int, default: str = "") -> str:
        """Return a value without its quotes; `default` if there is no such column."""
        return _plain(self._match(name, row)[0]) if name in self.names else default

    def column(self, name: str) -> list[str]:
        """Return the values of a column without their quotes."""
        return [_plain(match[0]) for match in self.values[self.names[name] :: len(self.keys)]]

    def span(self, name: str, row: int) -> Span:
        """Return where a value stands in the text."""
        return self._match(name, row).span()

    def row(self, row: int) -> list[str]:
        """Return the words of a row as they stand in the text."""
        first = row * len(self.keys)
        return [match[0] for match in self.values[first : first + len(self.keys)]]

    def span_of_row(self, row: int) -> Span:
        """Return where a row stands in the text."""
        first = row * len(self.keys)
        return self.values[first].start(), self.values[first + len(self.keys) - 1].end()

    def _match(self, name: str, row: int) -> re.Match:
        return self.values[row * len(self.keys) + self.names[name]]


class Block:
    """A data block: its items, and the loops that its columns are in."""

    def __init__(self, header: re.Match) -> None:
        self.name = header[0][len("data_") :]
        self.start, self.end = header.end(), header.endpos
        self.keys: list[re.Match] = []
        self.items: dict[str, re.Match] = {}
        self.columns: dict[str, Loop] = {}
        self.repeated: list[str] = []
        self.in_triple_quotes: list[re.Match] = []

    def value(self, name: str) -> str:
        """Return the value of an item; the empty text if there is no such item."""
        return _plain(self.items[name][0]) if name in self.items else ""

    def add_item(self, key: re.Match, value: re.Match) -> None:
        """Add a name and its value."""
        name = canonical(key[0])
        if name in self.items and self.items[name][0] != value[0]:
            self.repeated.append(name)
        self.items[name] = value

    def add_column(self, key: re.Match, loop: Loop) -> None:
        """Add a column to a loop."""
        name = canonical(key[0])
        if name in self.columns:
            self.repeated.append(name)
        loop.names[name] = len(loop.keys)
        loop.keys.append(key)
        self.columns[name] = loop

    def mended(self) -> dict[Span, str]:
        """Return what to write over names in other spellings, and over texts of several lines.

        pymatgen takes the line ``data_...`` for a new block even in such a text, and does not know
        the triple quotes of CIF 2.
        """
        edits = {}
        for key in self.keys:
            name = canonical(key[0])
            if name != key[0] and name in CANONICAL:
                edits[key.span()] = name
        for name, match in self.items.items():
            if match[0][0] == ";" and name not in CANONICAL:
                edits[match.span()] = "?"
        for match in self.in_triple_quotes:
            edits[match.span()] = _requoted(match[0][3:-3])
        return edits

    def text(self, whole: str, edits: dict[Span, str]) -> str:
        """Return the block on its own, with other words where `edits` says so."""
        parts, at = ["data_x"], self.start
        for (start, end), new in sorted(edits.items()):
            parts += [whole[at:start], new]
            at = end
        return "".join([*parts, whole[at : self.end]])


def blocks_of(text: str) -> list[Block]:
    """Return the data blocks of a CIF text.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Block
    """
    blocks: list[Block] = []
    key: re.Match | None = None
    loop: Loop | None = None
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first == "#":
            continue
        if first in "\"'" and blocks and _is_in_triple_quotes(token):
            blocks[-1].in_triple_quotes.append(match)
        if first in "dD" and token[:5].lower() == "data_":
            if blocks:
                blocks[-1].end = match.start()
            blocks.append(Block(match))
            key = loop = None
        elif not blocks:
            continue
        elif first == "_":
            blocks[-1].keys.append(match)
            if loop is not None and not loop.values:
                blocks[-1].add_column(match, loop)
            else:
                key, loop = match, None
        elif first in "lL" and token.lower() == "loop_":
            key, loop = None, Loop()
        elif key is not None:
            blocks[-1].add_item(key, match)
            key = None
        elif loop is not None:
            loop.values.append(match)
    return blocks


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return a name of a CIF in one spelling: that of pymatgen, or small letters.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    small = name.lower().replace(".", "_")
    return _NAMES.get(small, small)


def _is_in_triple_quotes(token: str) -> bool:
    return token[:3] in _TRIPLE and token[:3] == token[-3:] and len(token) > 5


def _requoted(text: str) -> str:
    quote = next((mark for mark in "'\"" if mark not in text), "")
    return f"{quote}{text}{quote}" if quote and "\n" not in text else "?"


def _plain(token: str) -> str:
    if _is_in_triple_quotes(token):
        return " ".join(token[3:-3].split())
    if token[0] in "\"'" and len(token) > 1:
        return token[1:-1].strip()
    if token[0] == ";" and token[-1] == ";" and "\n" in token:
        return " ".join(token[1:-1].split())
    return token
