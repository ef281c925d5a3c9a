"""Figures: one file each, with `draw(spec, tables)` that returns a matplotlib figure."""
