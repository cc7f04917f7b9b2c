"""The ROS 2 face: the only folder that imports rclpy and message packages."""
