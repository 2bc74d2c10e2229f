"""Plays Dobble on the device: a picture of two cards and a model bundle become the symbol they share."""
