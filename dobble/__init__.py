"""From labelled photos of Dobble cards to a detector that plays the game on an edge device."""

__version__ = "0.1.0"
