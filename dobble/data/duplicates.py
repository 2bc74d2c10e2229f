"""Photos to those that are nearly the same picture, by a hash of what they look like."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.data.findings import Finding

HASH_BITS = 256
_SIDE = 64
_CHUNKS = 16  # a copy that differs in fewer bits agrees in a whole chunk
# Low frequencies agree in many photos: mixing spreads them over all chunks, and buckets stay small.
_MIXED = np.random.default_rng(0).permutation(HASH_BITS)


def perceptual_hash(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which low frequencies of a picture are above their median: near-duplicates differ in few.

    Args:
        grey: uint8 [H, W].

    Returns:
        bool [256], of the discrete cosine transform of the picture at 64 x 64 pixels.
    """
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:17, :17].ravel()[1 : HASH_BITS + 1]
    return np.asarray(low > np.median(low))


def near_duplicates(
    hashes: Mapping[str, NDArray[np.bool_]], split_of: Mapping[str, str], max_distance: int
) -> list[Finding]:
    """Find photos that stand in two splits, perhaps scaled, saved anew or slightly retouched.

    Only photos whose hashes agree in one of 16 parts are compared, so the time grows with the number of
    photos, not with that of pairs. A copy that differs in less than 16 bits is found for certain.

    Args:
        hashes: from `perceptual_hash`, by photo id.
        split_of: the split of each photo.
        max_distance: bits of the hash that may differ.
    """
    photos = list(hashes)
    bits = np.array([known[_MIXED] for known in hashes.values()], np.bool_).reshape(-1, HASH_BITS)
    found = []
    for one, other in _neighbours(bits):
        first, second = photos[one], photos[other]
        differing = int((bits[one] ^ bits[other]).sum())
        if differing <= max_distance and split_of[first] != split_of[second]:
            text = f"is nearly the same picture as {first} of the {split_of[first]} split"
            cure = "remove one of the two: what is tested must not be known from training"
            found.append(Finding(second, "error", "duplicate", text, cure, other=first))
    return found


def _neighbours(hashes: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Pairs of rows that agree in a chunk, once each."""
    seen: set[tuple[int, int]] = set()
    words = np.packbits(hashes, axis=1).view(np.uint16)
    for chunk in range(_CHUNKS):
        buckets: dict[int, list[int]] = defaultdict(list)
        for row, word in enumerate(words[:, chunk].tolist()):
            buckets[word].append(row)
        for bucket in buckets.values():
            for pair in combinations(bucket, 2):
                if pair not in seen:
                    seen.add(pair)
                    yield pair
