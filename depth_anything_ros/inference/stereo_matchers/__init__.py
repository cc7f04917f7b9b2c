"""Ways to match a rectified stereo pair; one module each."""
