import numpy as np
import pytest

from jetson.play.tone import even_tone


def card(paper, ink):
    """Give a picture of paper with print on a quarter of its middle."""
    image = np.full((96, 96, 3), paper, np.uint8)
    image[30:66, 48:66] = ink
    return image


@pytest.mark.parametrize("ink", [60, 100, 150])
def test_print_is_as_bright_as_asked_for_however_bright_it_was(ink):
    evened = even_tone(card(255, ink), 0.4)
    assert evened[48, 56, 0] == pytest.approx(0.4 * 255, abs=2)
    assert evened[5, 5, 0] == 255


def test_paper_in_the_shade_counts_as_paper():
    evened = even_tone(card(128, 64), 0.25)
    # 64 of 128 is half: the curve's exponent is log(.25) / log(.5) = 2.
    assert evened[48, 56, 0] == pytest.approx(255 * (64 / 255) ** 2, abs=1)


def test_curve_is_never_a_cliff():
    # 230 of 255 would be paper; 200 would ask for an exponent of 4
    evened = even_tone(card(255, 200), 0.37)
    assert evened[48, 56, 0] == pytest.approx(255 * (200 / 255) ** 2.4, abs=1)
    assert even_tone(card(255, 5), 0.37)[48, 56, 0] == pytest.approx(255 * (5 / 255) ** 0.6, abs=1)


@pytest.mark.parametrize("picture", [np.full((40, 60, 3), 200, np.uint8), np.zeros((40, 60, 3), np.uint8)])
def test_picture_without_print_stays_as_it_is(picture):
    assert even_tone(picture, 0.37) is picture
