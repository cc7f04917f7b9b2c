"""Engines that spread files over processes or machines; one module each."""
