"""Where data and results are kept: the stack, what is pinned, what is really there, sending and fetching."""
