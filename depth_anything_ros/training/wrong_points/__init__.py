"""How to find measured points that are grossly wrong (`metric.wrong_points`), learned."""
