"""Tables: one file each, with `columns(spec)` and `rows(results, spec)`, which gives dictionaries by column.

The Snakefile reads this list; a caption for `snakemake --report` is in report/tables/.
"""

TABLES = ("comparisons", "main_comparison", "lambda_sweep", "checkpoint_curve", "seeds", "icl_gap")
