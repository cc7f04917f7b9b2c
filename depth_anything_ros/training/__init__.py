"""The training kit: losses, data, trainer and recipes of teacher, pseudo-labels and student."""
