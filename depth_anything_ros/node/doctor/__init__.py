"""What is wrong with a running graph or this machine, in words."""
