"""Network depth -> metres: the MetricScaler protocol and its methods."""
