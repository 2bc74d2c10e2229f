"""How training views differ from the photo where they do not, for the tests."""

from dobble.params import AugmentationParams

STILL = AugmentationParams(
    zoom=(1.0, 1.0),
    gamma=(1.0, 1.0),
    gain=(1.0, 1.0),
    channel_gain=0,
    saturation=(1.0, 1.0),
    hue=0,
    coarse_probability=0,
    blur_probability=0,
    noise_probability=0,
)
