"""Depth Anything V1 and V2: DINOv2 encoder and DPT head."""
