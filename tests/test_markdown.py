"""Names of users in cards are shown as they are, and are no markup."""

import pytest

from skuae._markdown import escape


@pytest.mark.parametrize(
    "text",
    [
        "band_gap",
        "formation_energy_per_atom (eV/atom)",
        "Å³, 5 %",
        "ct-uae-mt",
        "log10(K_VRH)",
        "1.5",
    ],
)
def test_plain_names_stay_readable(text):
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("&lt;", "&amp;lt;"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("a|b", r"a\|b"),
        ("a\n\n# b\r- c", "a # b - c"),
        ("`a` *b* ~c~", r"\`a\` \*b\* \~c\~"),
        ("_a_ __b__ c_d", r"\_a\_ \_\_b\_\_ c_d"),
        ("a\\|b", r"a\\\|b"),
        (3, "3"),
        ("", ""),
    ],
)
def test_markup_is_shown_as_text(text, escaped):
    assert escape(text) == escaped
