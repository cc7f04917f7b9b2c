"""The whole node, measured from outside over DDS."""
