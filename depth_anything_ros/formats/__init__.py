"""Bytes and files to arrays and back: images, depth, clouds, calibrations, recordings. No ROS."""
