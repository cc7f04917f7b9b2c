"""How the correction of kriged depth (`metric.correction`) learns, from synthetic worlds alone."""
