"""How good a bundle is beyond the test split: photographs with known answers."""
