"""Any camera of a robot as a metric depth sensor, with the Depth Anything networks."""

__version__ = "0.1.0"
