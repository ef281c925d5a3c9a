"""`snakemake`, asking Slurm every second; the plugin asks ever more rarely, which would be most of a test's time."""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)

if __name__ == "__main__":
    sys.argv[0] = "snakemake"
    main()
