"""One folder per family of networks, behind the DepthNetwork protocol."""
