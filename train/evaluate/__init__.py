"""Measuring a model: holes in real repositories."""
