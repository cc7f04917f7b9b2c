"""How far each pixel can be trusted: views, experts, agreement."""
