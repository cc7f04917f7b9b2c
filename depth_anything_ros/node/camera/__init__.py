"""One camera: its images in, its topics out."""
