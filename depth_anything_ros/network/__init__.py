"""The networks themselves: DINOv2 encoder, DPT head, their catalogue and their files."""
