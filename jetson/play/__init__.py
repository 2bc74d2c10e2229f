"""From a picture and a bundle to the symbol that two cards share."""
