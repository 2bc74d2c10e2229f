"""What the board is, has, and says of itself."""
