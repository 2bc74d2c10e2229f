"""The limits by which the tests validate."""

from typing import Any

from dobble.params import ValidateParams

LIMITS: dict[str, Any] = {
    "deck": "plane",
    "symbols_per_card": "auto",
    "fail_on": ("error",),
    "box_side": (0.03, 0.6),
    "max_box_aspect": 6.0,
    "max_box_overlap": 0.8,
    "max_outside": 0.1,
    "brightness": (30.0, 235.0),
    "min_sharpness": 8.0,
    "max_hash_distance": 28,
    "deepchecks": False,
    "max_outlier_share": 0.05,
    "max_image_drift": 0.6,
    "max_label_drift": 0.5,
}


def limits(**changed: object) -> ValidateParams:
    """Give the limits with some of them changed."""
    return ValidateParams(**(LIMITS | changed))
