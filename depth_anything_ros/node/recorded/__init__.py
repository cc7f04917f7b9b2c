"""The node's work on a recording: its cameras, sensors and outputs without a ROS graph."""
