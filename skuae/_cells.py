"""Texts in the cells of tables: numbers, gaps, and faulty numbers."""

import re
import unicodedata

_UNKNOWN = frozenset({"", "nan", "na", "n/a", "<na>", "none", "null"})
# Not InF, which is a compound.
_NO_DIGITS = frozenset("nan NaN NAN inf Inf INF infinity Infinity INFINITY".split())
_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_DECIMAL = r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE][+-]?[0-9]))(?:[eE][+-]?[0-9]+)?"
_NUMBER = rf"[+-]?{_DIGITS}(?:[eE][+-]?[0-9]+)?"
_IS_NUMBER = re.compile(_NUMBER)
_IS_INTEGER = re.compile(r"[+-]?[0-9]+")
_LARGEST_EXACT = 2**53  # above it, a float64 skips integers

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# Units that no class is likely to end in, unlike the 2H of a polytype or the 4mm of a point group.
_UNITS = frozenset(
    "ev mev kev ry ha hartree rydberg kj kcal cal mj mol k °c °f °k gpa mpa kpa pa kbar bar atm "
    "å a² å² å³ ang angstrom nm pm µm um cm cm² cm³ kg mg amu da mt tesla mv kv ma µa ghz thz "
    "mhz hz ms µs ns ps fs mb µb μb kohm ohm ω mω °".split()
)
# Units beside others only, as in W/m/K or eV/atom.
_MORE_UNITS = frozenset("a c g h j m n s t u v w atom atoms cell fu f.u unit formula per".split())

# What is wrong with a text that was meant as a number, and what such texts look like as a whole, in
# lower case.
_FAULTS = {
    "has an underscore (leave that out)": [r"[+-]?[0-9][0-9_]*(\.[0-9_]*)?(e[+-]?[0-9_]+)?"],
    "has a comma (write decimals with a point, and thousands without a separator)": [
        r"[+-]?[0-9]+,[0-9]+(e[+-]?[0-9]+)?"
    ],
    "separates thousands (write 1234.5)": [
        r"[+-]?[0-9]{1,3}([ ,'\u2019`][0-9]{3})+([.,][0-9]*)?",
        r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]*",
        r"[+-]?[0-9]{1,3}(\.[0-9]{3}){2,}",
    ],
    "has Fortran's exponent D (write 1.5e0)": [
        r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)d[+-]?[0-9]+",
        r"[+-]?[0-9]+d[+-][0-9]+",  # with a sign: 3d10 is a configuration
    ],
    "has a power of ten (write 1.5e3)": [
        rf"{_NUMBER} ?[x*\u00d7\u00b7\u22c5] ?10 ?(\^|\*\*)? ?\(?[+-]?[0-9]+\)?"
    ],
    "is a power (write 1.5e3)": [r"[+-]?10 ?(\^|\*\*) ?\(?[+-]?[0-9]+\)?"],
    "has a space before its exponent (write 1.5e3)": [rf"[+-]?{_DIGITS} e ?[+-]?[0-9]+"],
    "has two signs, or one behind it (write -1.5)": [rf"[+-]{{2}}{_NUMBER}", rf"{_DECIMAL} ?[+-]"],
    "is an amount of money (write numbers only)": [rf"[+-]?[$\u20ac\u00a3] ?{_NUMBER}"],
    "is a formula of a spreadsheet (save its values)": [r"=[a-z]+\$?[0-9(].*"],
    "has a percent sign (write numbers only)": [rf"{_NUMBER} ?[%\u2030]"],
    "has an error bar (put that into another column)": [
        rf"{_NUMBER} ?(\u00b1|\+/-|\+-) ?{_NUMBER}.*",
        rf"{_DECIMAL}\([0-9]+\).*",
    ],
    "is approximate (write numbers only)": [rf"([~\u2248\u223c]|ca\.?|approx\.?) ?{_NUMBER}.*"],
    "has quotes, brackets or an equals sign (write numbers only)": [
        rf"""=?(['"`]){_NUMBER}\1?""",
        rf"={_NUMBER}",
        rf"[\[({{] ?{_DECIMAL} ?[\])}}]",  # a decimal number: (111) is a plane
    ],
    "is hexadecimal (write decimal numbers)": [r"[+-]?0x[0-9a-f]+"],
    "is a date, which spreadsheets make of numbers (format the cells as numbers)": [
        r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([t ].*)?",
        r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}",
        rf"[0-9]{{1,4}}[-. ]{{1,2}}{_MONTH}([-. ]+[0-9]{{2,4}})?",
        rf"{_MONTH}[- ][0-9]{{1,4}}",
    ],
    "is an error of a spreadsheet or of a program": [
        r"#(n/a|n/a n/a|na|div/0!|ref!|name\?|value!|num!|null!)",
        r"-?1\.#(ind|qnan|inf)",
    ],
    "has text after the number (write numbers only)": [
        rf"{_NUMBER} ?[#;!].*",
        rf"{_DECIMAL} ?[^0-9. -][^0-9]{{0,15}}",  # not behind an integer: 2H is a polytype
    ],
}
_PATTERNS = [(re.compile(p), fault) for fault, patterns in _FAULTS.items() for p in patterns]
_UNIT_FIRST = re.compile(rf"([^0-9\s.,+-]+) {_DECIMAL}|(?:nan|[+-]?inf) (.+)")
_WITH_UNIT = re.compile(rf"(?:{_NUMBER}|[+-]?[0-9]+,[0-9]+) ?([^0-9\s.,+-].*)")
_LOOK_ALIKES = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-") | {"\u066b": "."}
)


def short_repr(value: object, longest: int = 80) -> str:
    """Return the repr of a value for a message, cut if it is long.

    Parameters
    ----------
    value : object
    longest : int, default=80
        Characters.

    Returns
    -------
    str
    """
    return shortened(repr(value), longest)


def shortened(text: str, longest: int = 80) -> str:
    """Return a text for a message, with dots in its middle if it is long.

    Parameters
    ----------
    text : str
    longest : int, default=80
        Characters.

    Returns
    -------
    str
    """
    if len(text) <= longest:
        return text
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def says_unknown(text: str) -> bool:
    """Return whether a cell is empty, or says that nothing is known, as ``NaN`` or ``na`` do.

    Upper and lower case are one, but for ``Na``, which is sodium.
    """
    text = text.strip()
    return text.lower() in _UNKNOWN and text != "Na"


def number_in(text: str) -> float | None:
    """Return the number that a text holds, or None.

    Digits are those of ASCII, with a point for decimals and e or E for an exponent; ``nan``,
    ``inf`` and ``infinity`` are numbers. Spaces around them do not matter.
    An underscore, which Python allows, makes a text no number. Nor is an integer one that a float64
    cannot hold to its last digit.
    """
    text = text.strip()
    if _IS_NUMBER.fullmatch(text):
        number = float(text)
        return None if _loses_digits(text, number) else number
    unsigned = text[1:] if text.startswith(("+", "-")) else text
    return float(text) if unsigned in _NO_DIGITS else None


def why_no_number(text: str) -> str | None:
    """Say why a text that was meant as a number is none, and how to write it.

    Returns
    -------
    str or None
        A phrase that goes on after "it"; None for other texts, such as ``Fm-3m``, ``phase 1``,
        ``2H`` or ``1T'``.
    """
    text = text.strip()
    if _IS_NUMBER.fullmatch(text):
        return "has more digits than a float64 keeps (begin names with a letter)"
    plain = _with_ascii_digits(text)
    if plain != text and number_in(plain) is not None:
        odd = next(c for c in text if not c.isascii())
        if unicodedata.category(odd) == "Cf":
            return f"has an invisible character, U+{ord(odd):04X} (write {plain})"
        return f"has {odd!r} (U+{ord(odd):04X}), which only looks like ASCII (write {plain})"
    plain = " ".join(plain.lower().split())
    for pattern, fault in _PATTERNS:
        if pattern.fullmatch(plain):
            return fault
    found = _WITH_UNIT.fullmatch(plain) or _UNIT_FIRST.fullmatch(plain)
    unit = found and next(filter(None, found.groups()))
    return "has a unit (write numbers only)" if unit and _is_unit(unit) else None


def _loses_digits(text: str, number: float) -> bool:
    if not _IS_INTEGER.fullmatch(text) or abs(number) < _LARGEST_EXACT:
        return False
    return len(text) > 310 or int(text) != int(number)


def _with_ascii_digits(text: str) -> str:
    """Return a text with ASCII digits, points, spaces and minus signs where it has others.

    Invisible characters are left out.
    """
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = unicodedata.normalize("NFKC", text.translate(_LOOK_ALIKES)).translate(_LOOK_ALIKES)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def _is_unit(text: str) -> bool:
    tokens = [token for token in re.split(r"[\s/·⋅*^().\d-]+", text) if token]
    known = [token in _UNITS for token in tokens]
    return any(known) and all(k or t in _MORE_UNITS for k, t in zip(known, tokens, strict=True))
