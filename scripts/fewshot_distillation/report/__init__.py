"""report.html: analysis.md as a page of its own, with figures, data, every answer and the way to repeat it."""
