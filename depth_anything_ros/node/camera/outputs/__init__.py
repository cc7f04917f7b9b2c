"""The topics of a camera, one module each; see `depth_anything_ros.node.camera.output`."""
