"""Photos to those that are nearly the same picture, by a hash of what they look like."""

from collections.abc import Mapping
from itertools import combinations, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.validation.findings import Finding

HASH_BITS = 256
_SIDE = 64
_CHUNKS = 20  # a copy that differs in 18 bits still agrees in two whole chunks
_CROWD = 64  # of photos that agree in the same two chunks, each is compared with so many
# Low frequencies agree in many photos: mixing spreads them over all chunks.
_MIXED = np.random.default_rng(0).permutation(HASH_BITS)
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint16)


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

    Every photo is compared with those whose hashes agree in two of 20 parts, and of a crowd that agrees with
    64, so that time and findings grow with the number of photos, not with that of pairs. Outside of crowds a
    copy that differs in at most 18 bits is found for certain, one that differs in 28 in 97 of 100 cases.

    Args:
        hashes: from `perceptual_hash`, by photo id.
        split_of: the split of each photo.
        max_distance: bits of the hash that may differ.

    Returns:
        For each photo at most one finding, with the photo of another split that is most like it.
    """
    if not hashes:
        return []
    photos = list(hashes)
    numbers = {split: number for number, split in enumerate(sorted(set(split_of.values())))}
    packed = np.stack([np.packbits(known[_MIXED]) for known in hashes.values()])
    splits = np.array([numbers[split_of[photo]] for photo in photos], np.uint8)
    # Equal hashes of one split have equal neighbours.
    rows, first, same = np.unique(
        np.column_stack([packed, splits]), axis=0, return_index=True, return_inverse=True
    )
    nearest = _nearest(rows[:, :-1], rows[:, -1], max_distance)[same.ravel()]
    pairs = {
        (min(one, other), max(one, other))
        for one, other in enumerate(np.where(nearest < 0, -1, first[nearest]).tolist())
        if other >= 0
    }
    cure = "remove one of the two: what is tested must not be known from training"
    return [
        Finding(
            photos[other],
            "error",
            "duplicate",
            f"is nearly the same picture as {photos[one]} of the {split_of[photos[one]]} split",
            cure,
            other=photos[one],
        )
        for one, other in sorted(pairs)
    ]


def _nearest(packed: NDArray[np.uint8], splits: NDArray[np.uint8], max_distance: int) -> NDArray[np.int64]:
    """Find for each hash the nearest one of another split.

    Args:
        packed: uint8 [N, 32].
        splits: uint8 [N].
        max_distance: bits that may differ.

    Returns:
        int64 [N]; -1 where there is none.
    """
    best = np.full(len(packed), max_distance + 1, np.int64)
    nearest = np.full(len(packed), -1, np.int64)
    bits = np.unpackbits(packed, axis=1)
    edges = np.linspace(0, HASH_BITS, _CHUNKS + 1).round().astype(int).tolist()
    chunks = [
        bits[:, start:end] @ (1 << np.arange(end - start, dtype=np.uint32)) for start, end in pairwise(edges)
    ]
    for one, other in combinations(chunks, 2):
        key = one << np.uint32(16) | other
        order = np.argsort(key, kind="stable")
        key = key[order]
        for step in range(1, _CROWD + 1):
            agree = np.flatnonzero(key[:-step] == key[step:])
            if not len(agree):
                break
            here, there = order[agree], order[agree + step]
            apart = splits[here] != splits[there]
            here, there = here[apart], there[apart]
            distance = _ONES[packed[here] ^ packed[there]].sum(1)
            # A step pairs each hash at most once with an earlier and once with a later one.
            for mine, its in ((here, there), (there, here)):
                nearer = distance < best[mine]
                best[mine[nearer]] = distance[nearer]
                nearest[mine[nearer]] = its[nearer]
    return nearest
