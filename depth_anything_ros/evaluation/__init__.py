"""How good a network is: measured depth, ordered point pairs, and the vote that makes them."""
