"""Benchmarks of the network, the scaling, clouds and the node on this machine."""
