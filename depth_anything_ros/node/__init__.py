"""The ROS 2 face: the only folder that imports rclpy and message packages."""

import os

# The linear algebra of scaling is small: more threads than one only fight with the network for the
# cores (measured: 14 ms become 200 and more). It must be set before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
