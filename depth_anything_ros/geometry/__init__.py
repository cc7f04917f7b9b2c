"""Camera model, projection and point clouds: arrays in, arrays out."""
