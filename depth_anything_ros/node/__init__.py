"""The ROS 2 face: the only folder that imports rclpy and message packages."""

import os
import sys

# The linear algebra of scaling is small: more threads than one only fight with the network for the
# cores (measured: 14 ms become 200 and more). It must be set before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if sys.argv[0] == "-m":  # a program of this room is being started, and has still to be imported
    from depth_anything_ros.node.start import end_on_signals

    end_on_signals()
