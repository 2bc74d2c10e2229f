"""Turns the readings of two cards into the symbol they share, or into the reason why there is no answer."""

from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np

from jetson.arrays import Array
from jetson.play.bundle import Bundle
from jetson.play.detect import CardReading, Detections

FLOOR = 1e-4  # a symbol that the network missed outright must not rule out its card
TINY = 1e-12
UNSEEN = 0.01  # least probability of a printed symbol, to the doubt in the deck: three of eight may be missed
DOUBT = 2.0  # `deck_fit` of two cards together below which the deck is not used
DECK, JOINT = "deck", "joint"
SAME_SYMBOLS = 3  # without a deck: so many symbols seen on both cards are one card seen twice


class Match(NamedTuple):
    """The outcome of one round.

    Attributes:
        symbol: class id of the most probable shared symbol; an answer only if `no_answer` is None.
        probability: of that symbol, in [0, 1].
        runner_up: class id of the next most probable symbol.
        runner_up_probability: of that one.
        boxes: float32 [2, 4], the symbol on the first and on the second card, xyxy pixels of each picture.
        no_answer: why there is no answer, or None.
        rule: by which it was played, `DECK` or `JOINT`.
    """

    symbol: int
    probability: float
    runner_up: int
    runner_up_probability: float
    boxes: Array
    no_answer: Optional[str]
    rule: str


def play(bundle: Bundle, first: CardReading, second: CardReading) -> Match:
    """Name the symbol that two cards share, by the deck when the bundle knows it and the cards are of it."""
    probability, same, rule = shared_symbol(bundle, first, second)
    symbol, runner_up = (int(place) for place in np.argsort(-probability, kind="mergesort")[:2])
    match = Match(
        symbol=symbol,
        probability=float(probability[symbol]),
        runner_up=runner_up,
        runner_up_probability=float(probability[runner_up]),
        boxes=np.stack([first.evidence.boxes[symbol], second.evidence.boxes[symbol]]),
        no_answer=None,
        rule=rule,
    )
    return match._replace(no_answer=_why_not(bundle, first, second, same, match))


def shared_symbol(bundle: Bundle, first: CardReading, second: CardReading) -> Tuple[Array, bool, str]:
    """Return float64 [C], how probably each symbol is the shared one; whether the cards are one; the rule.

    A deck that explains what is seen worse than eight symbols drawn by lot would is not used: a wrong deck
    must never be worse than none.
    """
    p1, p2 = first.evidence.probability, second.evidence.probability
    if bundle.deck is not None:
        deck = incidence(bundle.deck, len(bundle.labels))
        if deck_fit(p1, deck) + deck_fit(p2, deck) >= DOUBT:
            probability, same_card = match_deck(p1, p2, deck, bundle.calibration.deck)
            return probability, same_card > 0.5, DECK
    same = _look_the_same(first.detections, second.detections)
    return match_joint(p1, p2, bundle.calibration.joint), same, JOINT


def match_simple(first: Detections, second: Detections, n_classes: int) -> Optional[int]:
    """Return the symbol detected on both cards with the highest mean score, or None: the naive rule."""
    best = np.zeros((2, n_classes))
    for row, detections in enumerate((first, second)):
        np.maximum.at(best[row], detections.labels, detections.scores)
    mean = np.where((best > 0).all(axis=0), best.mean(axis=0), 0)
    return int(mean.argmax()) if mean.any() else None


def match_joint(p1: Array, p2: Array, calibration: float) -> Array:
    """Return the probability of each symbol to be the shared one, without knowing the deck.

    Args:
        p1: float [C], evidence for each symbol on the first card, in [0, 1].
        p2: the same for the second card.
        calibration: exponent from `calibrate`.

    Returns:
        float64 [C] of sum 1, proportional to (p1 p2) ** calibration.
    """
    return _softmax(calibration * pair_evidence(p1, p2))


def match_deck(p1: Array, p2: Array, deck: Array, calibration: float) -> Tuple[Array, float]:
    """Return the probability of each symbol to be the shared one, knowing all cards of the deck.

    Args:
        p1: float [C], evidence for each symbol on the first card, in [0, 1].
        p2: the same for the second card.
        deck: bool [cards, C], which symbols are on which card; any two cards share exactly one.
        calibration: exponent from `calibrate`.

    Returns:
        float64 [C] of sum 1, given that the cards differ; and the probability that both are the same card.
    """
    cards = np.asarray(deck, np.float64)
    first = _softmax(calibration * card_evidence(p1, deck))
    second = _softmax(calibration * card_evidence(p2, deck))
    # Two different cards share s exactly when both have s: all pairs with s, less each card with itself.
    shared = np.maximum(first.dot(cards) * second.dot(cards) - (first * second).dot(cards), 0) + TINY
    return shared / shared.sum(), float(first.dot(second))


def deck_fit(probability: Array, deck: Array) -> float:
    """Return how much better the cards of a deck explain a reading than any cards would: a log Bayes factor.

    The one hypothesis is any card of the deck, the other any card with as many symbols, all equally likely.
    The mean over all such cards is an elementary symmetric polynomial, which its recurrence gives exactly.

    Args:
        probability: float [C], evidence for each symbol on the card, in [0, 1].
        deck: bool [cards, C], which symbols are on which card.

    Returns:
        Above 0 if the deck explains it better.
    """
    seen = np.minimum(np.asarray(probability, np.float64) + UNSEEN, 1)
    cards = np.asarray(deck, np.float64)
    explained = np.log(seen).dot(cards.T)
    best = explained.max()
    by_deck = best + np.log(np.exp(explained - best).mean())
    # Column k becomes the sum over all sets of k symbols of the product of their weights; with weights of 1
    # that is the number of the sets.
    sums = np.zeros((2, int(cards.sum(axis=1).max()) + 1))
    sums[:, 0] = 1
    for weights in np.column_stack([seen, np.ones_like(seen)])[:, :, None]:
        sums[:, 1:] += weights * sums[:, :-1]
    return float(by_deck - np.log(sums[0, -1] / sums[1, -1]))


def pair_evidence(p1: Array, p2: Array) -> Array:
    """Return float64 [..., C], the logarithm of both cards' evidence together, from two float [..., C]."""
    logarithm: Array = np.log(np.asarray(p1, np.float64) * np.asarray(p2, np.float64) + TINY)
    return logarithm


def card_evidence(probability: Array, deck: Array) -> Array:
    """Return float64 [..., cards], each card's log evidence, from float [..., C] and bool [cards, C]."""
    logarithm = np.log(np.asarray(probability, np.float64) + FLOOR)
    evidence: Array = logarithm.dot(np.asarray(deck, np.float64).T)
    return evidence


def incidence(deck: Tuple[Tuple[int, ...], ...], n_classes: int) -> Array:
    """Return bool [cards, C], which symbols are on which card."""
    table = np.zeros((len(deck), n_classes), bool)
    for row, card in enumerate(deck):
        table[row, list(card)] = True
    return table


def calibrate(log_evidence: Array, truth: Array, highest: float = 4.0) -> float:
    """Find the exponent that makes probabilities out of evidence most honest.

    Args:
        log_evidence: float [N, K], from `pair_evidence` (K symbols) or `card_evidence` (K cards).
        truth: int [N], which of the K was right.
        highest: the exponent stays within [0.05, highest]; evidence that is always right would push it up
            without end.

    Returns:
        The exponent with the lowest mean negative log likelihood of the truth.
    """
    log_evidence = np.asarray(log_evidence, np.float64)
    centred = log_evidence - log_evidence.max(axis=1)[:, None]
    right = centred[np.arange(len(truth)), truth]

    def surprise(exponent: float) -> float:
        return float(np.mean(np.log(np.exp(exponent * centred).sum(axis=1)) - exponent * right))

    return _golden_section(surprise, 0.05, highest)


def _golden_section(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a convex function is lowest, to 1e-4 (the surprise is convex in its exponent)."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


def _softmax(logarithms: Array) -> Array:
    weights = np.exp(logarithms - logarithms.max())
    probabilities: Array = weights / weights.sum()
    return probabilities


def _look_the_same(first: Detections, second: Detections) -> bool:
    seen = [set(detections.labels.tolist()) for detections in (first, second)]
    common = len(seen[0] & seen[1])
    return common >= SAME_SYMBOLS and 2 * common > min(len(symbols) for symbols in seen)


def _why_not(
    bundle: Bundle, first: CardReading, second: CardReading, same: bool, match: Match
) -> Optional[str]:
    for place, reading in (("first", first), ("second", second)):
        if not len(reading.detections.scores):
            return "no symbol seen on the {} card".format(place)
    if same:
        return "both pictures show the same card"
    if match.probability < bundle.thresholds.match_probability:
        return "too unsure: {} {:.0f} %, {} {:.0f} %".format(
            bundle.labels[match.symbol],
            100 * match.probability,
            bundle.labels[match.runner_up],
            100 * match.runner_up_probability,
        )
    return None
