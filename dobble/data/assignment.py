"""Groups of photos to train, val and test, with shares as asked and every class in train."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice, permutations, product

from dobble.errors import SplitError

SPLITS = ("train", "val", "test")

_LEAST_GAIN = 1e-6
_MOST_PAIRS = 1000
_ATTEMPTS = 32


def assign_groups(
    groups: Mapping[str, str],
    classes: Mapping[str, AbstractSet[str]],
    ratios: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """Choose a split for each group, with the photos' shares as near to `ratios` as whole groups allow.

    All begins in train. Groups go to val and test in an order drawn from `seed` for as long as that brings
    the shares nearer; then groups are moved and swapped until no step does. Train always has every class.
    The best of some attempts counts.

    Args:
        groups: group of each photo.
        classes: classes of each photo.
        ratios: share of the photos for train, val and test.
        seed: the same seed gives the same split, in whatever order the photos come.

    Raises:
        SplitError: if there are fewer than three groups, a class that one photo alone has, or no two groups
            that train could do without.
    """
    photos: dict[str, list[str]] = defaultdict(list)
    for photo in sorted(groups):
        photos[groups[photo]].append(photo)
    if len(photos) < 3:
        raise SplitError(
            f"split.group_by finds {len(photos)} groups ({', '.join(sorted(photos))}); train, val and test"
            " need one each: take photos of more, or set split.group_by to the other of deck and card"
        )
    _refuse_single_photos(classes)
    sizes = {group: len(members) for group, members in sorted(photos.items())}
    found = {group: frozenset().union(*(classes[photo] for photo in photos[group])) for group in sizes}
    targets = {name: ratios[name] * len(groups) for name in SPLITS}
    shuffler = random.Random(seed)
    best = _attempt(shuffler, sizes, found, targets)
    for _ in range(_ATTEMPTS - 1):
        if best.misses < 1:
            break
        best = min(best, _attempt(shuffler, sizes, found, targets), key=lambda attempt: attempt.misses)
    return {group: best.splits[group] for group in sizes}


def _attempt(
    shuffler: random.Random,
    sizes: Mapping[str, int],
    classes: Mapping[str, frozenset[str]],
    targets: Mapping[str, float],
) -> "_Assignment":
    attempt = _Assignment(shuffler.sample(list(sizes), len(sizes)), sizes, classes, targets)
    attempt.complete()
    return attempt


def _refuse_single_photos(classes: Mapping[str, AbstractSet[str]]) -> None:
    count = Counter(name for found in classes.values() for name in found)
    single = min((name for name in count if count[name] == 1), default=None)
    if single is not None:
        photo = next(photo for photo, found in classes.items() if single in found)
        raise SplitError(
            f"class {single!r} stands on one photo only ({photo}) and cannot be both learned and tested:"
            " label more photos of it, or mend its name if it is misspelt"
        )


class _Assignment:
    """A split for each group; the best is the one with the least sum of squared misses in photos."""

    def __init__(
        self,
        order: list[str],
        sizes: Mapping[str, int],
        classes: Mapping[str, frozenset[str]],
        targets: Mapping[str, float],
    ) -> None:
        self.splits = dict.fromkeys(order, "train")
        self._sizes = sizes
        self._classes = classes
        self._surplus = {name: -target for name, target in targets.items()}
        self._surplus["train"] += sum(sizes.values())
        self._cover = Counter(name for found in classes.values() for name in found)

    @property
    def misses(self) -> float:
        """The sum of squared misses, in photos."""
        return sum(surplus**2 for surplus in self._surplus.values())

    def complete(self) -> None:
        """Choose the splits.

        Raises:
            SplitError: if no two groups can leave train.
        """
        self._hold_out_two()
        self._fill()
        self._improve()

    def _hold_out_two(self) -> None:
        """Give val and test one group each."""
        free = [group for group in self.splits if self._spared(group)]
        for first in free:
            self._move(first, "val")
            second = next((group for group in free if group != first and self._spared(group)), None)
            if second is not None:
                self._move(second, "test")
                return
            self._move(first, "train")
        rare = sorted(name for name, groups in self._cover.items() if groups <= 2)
        raise SplitError(
            f"no two groups can leave train without taking a class along (in two groups at most:"
            f" {', '.join(rare[:5])}): take photos of these in more groups, or change split.group_by"
        )

    def _fill(self) -> None:
        """Move groups out of train for as long as that brings the shares nearer."""
        for group in self.splits:
            size = self._sizes[group]
            target = min(SPLITS[1:], key=lambda name: self._surplus[name])
            wanted = self._gain(size, "train", target) > _LEAST_GAIN
            if wanted and self.splits[group] == "train" and self._spared(group):
                self._move(group, target)

    def _improve(self) -> None:
        """Move and swap groups until no step brings the shares nearer."""
        improved = True
        while improved:
            improved = False
            for source, target in permutations(SPLITS, 2):
                improved |= self._step(source, target)

    def _step(self, source: str, target: str) -> bool:
        """Take the best step that hands photos from one split to another, if any helps."""
        leaving, coming = self._by_size(source), self._by_size(target)
        gains = [
            (self._gain(size - back, source, target), size, back)
            for size in leaving
            for back in (0, *coming)
            if size > back
        ]
        for _, size, back in sorted((gain for gain in gains if gain[0] > _LEAST_GAIN), reverse=True):
            pairs = product(leaving[size], coming[back] if back else [None])
            for group, other in islice(pairs, _MOST_PAIRS):
                if self._allowed(group, other):
                    self._move(group, target)
                    if other is not None:
                        self._move(other, source)
                    return True
        return False

    def _allowed(self, group: str, other: str | None) -> bool:
        source = self.splits[group]
        if other is None and sum(split == source for split in self.splits.values()) == 1:
            return False
        if source == "train":
            return self._spared(group, other)
        return other is None or self.splits[other] != "train" or self._spared(other, group)

    def _spared(self, group: str, other: str | None = None) -> bool:
        """Say whether train keeps every class without a group, and with another that comes instead."""
        gained = self._classes[other] if other is not None else frozenset()
        return all(self._cover[name] > 1 or name in gained for name in self._classes[group])

    def _by_size(self, split: str) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for group, current in self.splits.items():
            if current == split:
                found.setdefault(self._sizes[group], []).append(group)
        return found

    def _gain(self, photos: int, source: str, target: str) -> float:
        """Say by how much the sum of squared misses shrinks if so many photos change splits."""
        return 2 * photos * (self._surplus[source] - self._surplus[target] - photos)

    def _move(self, group: str, target: str) -> None:
        source = self.splits[group]
        self.splits[group] = target
        self._surplus[source] -= self._sizes[group]
        self._surplus[target] += self._sizes[group]
        change = (target == "train") - (source == "train")
        for name in self._classes[group]:
            self._cover[name] += change
