"""The page "What skuae checks" says what happens: each row of its tables is tried here."""

import re
import warnings
from pathlib import Path

import pytest
from checked_commands import COMMANDS
from checked_inputs import FILES, SAVED, STRUCTURES, TRAINING
from checked_labels import LABELS
from checked_potentials import POTENTIALS
from checked_shards import SHARDS
from checked_whole import FORMULAS, WHOLE

CASES = FILES | STRUCTURES | LABELS | TRAINING | COMMANDS | SAVED | FORMULAS | WHOLE
CASES |= POTENTIALS | SHARDS
PAGE = Path(__file__).parents[1] / "docs/what_is_checked.md"


def rows_of_page():
    """Return input and outcome of each row of the tables of the page."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [re.findall(r"(?<=\|) (.*?) (?=\|)", line) for line in lines if line.startswith("| ")]
    return [tuple(row) for row in cells if row[0] not in ("input", "---")]


def outcome(case, folder):
    """Return 'Read', 'Warning' or 'Refused', and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            assert case(folder) is not False
        except (OSError, TypeError, ValueError) as error:
            return "Refused", str(error)
    said = " ".join(str(warning.message) for warning in caught)
    return ("Warning" if caught else "Read"), said


def test_page_and_cases_name_the_same_inputs():
    assert [row[0] for row in rows_of_page()] == list(CASES)


@pytest.mark.parametrize(("given", "happens"), rows_of_page(), ids=lambda text: text[:40])
def test_row_is_true(given, happens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind, said = outcome(CASES[given], tmp_path)
    assert happens.startswith(kind), said
    for words in re.findall(r"“(.*?)”", happens):
        assert words in said
