"""Evaluation of networks: depth metrics, ordered point pairs, and the vote that makes pairs."""
