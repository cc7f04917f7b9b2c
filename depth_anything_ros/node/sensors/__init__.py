"""What is measured around a camera: points, poses, gravity, and where sensors stand."""
