"""From labels, photos and splits to what is probably wrong with them."""
