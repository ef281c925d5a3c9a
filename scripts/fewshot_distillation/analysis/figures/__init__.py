"""Figures: one file each, which declares what it shows and has a function `draw`.

    CAPTION = "…"              below the figure
    RUNS = "main"              the selection of a model's runs that it shows (config/figures.py lists them)
    INPUTS = ("accuracy",)     what it reads of them
    TABLE = "…"                the table that has its numbers, where its name is another

    def draw(spec: PlotSpec, measured: Measured) -> Figure: …

The rules, the analysis and the report find a figure by its file.
"""
