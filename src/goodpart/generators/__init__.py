"""Generators: networks that learn from a hundred good part images and draw new ones."""

from goodpart.generators.registry import create_generator, generator_names

__all__ = ["create_generator", "generator_names"]
