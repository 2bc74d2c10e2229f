"""The cards of a deck: the mathematics of the game, and the file that lists them."""
