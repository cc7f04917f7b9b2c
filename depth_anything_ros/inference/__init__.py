"""Image -> network depth: the DepthEstimator protocol and its backends."""
