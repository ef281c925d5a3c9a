"""Figures: one file each, with `draw(spec, measured, published=None)` that returns a matplotlib figure."""
