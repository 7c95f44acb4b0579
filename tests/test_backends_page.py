"""The page of back-ends says what the registry says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from skuae.embedding import get_table
from skuae.models import BACKBONES, ElementEmbedding

PAGE = (Path(__file__).parents[1] / "docs/backends.md").read_text(encoding="utf-8")


def test_the_page_lists_all_back_ends():
    assert re.findall(r"^\| `\"(\w+)\"` ", PAGE, flags=re.MULTILINE) == list(BACKBONES)
    listed = re.findall(r"^   models\.(\w+)$", PAGE, flags=re.MULTILINE)
    assert listed[: len(BACKBONES)] == [kind.__name__ for kind in BACKBONES.values()]


@pytest.mark.parametrize("name", BACKBONES)
def test_a_row_is_that_of_the_code(name):
    kind = BACKBONES[name]
    values = torch.tensor(np.nan_to_num(get_table(kind.native_table).values))
    module = kind().build(ElementEmbedding(values, kind.native_frozen), 1)
    count = sum(p.numel() for p in module.parameters())
    trained = "" if kind.native_frozen else ", trained"
    row = (
        f'| `"{name}"` | {kind.reads} | `{kind.native_table}`{trained} | {count:,} '
        f"| {kind.default_lr:g} |"
    )
    assert row in PAGE.splitlines()
