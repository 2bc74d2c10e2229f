"""Names that are equal to people."""

import pytest

from dobble.data.photo_names import look_alike


@pytest.mark.parametrize(
    "twin",
    [
        "RED FOX",
        "red_fox",
        "red-fox",
        "Red\u00a0Fox",
        "Red \u200bFox",
        " red  fox",
        "\uff32ed Fox",
        "Red Fox\ufe0f",
    ],
)
def test_spellings_of_one_name_look_alike(twin):
    assert look_alike(twin) == look_alike("Red Fox")


@pytest.mark.parametrize(("one", "other"), [("deck1", "deck01"), ("07", "7"), ("Straße", "STRASSE")])
def test_numbers_and_letters_of_one_meaning_look_alike(one, other):
    assert look_alike(one) == look_alike(other)


@pytest.mark.parametrize(
    ("one", "other"), [("deck1", "deck10"), ("0", "1"), ("red fox", "redfox"), ("Bird", "Bird!")]
)
def test_other_names_do_not(one, other):
    assert look_alike(one) != look_alike(other)
