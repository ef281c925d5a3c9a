"""List the jobs in the Slurm queue that a killed driver has left behind, and cancel them if asked to.

They need not be cancelled: a job that still runs is waited for, and one that starts after another driver has taken over
stops by itself. But they hold GPUs and places in the queue.
"""

import argparse
import logging
import sys
from pathlib import Path

from fewshot_distillation.errors import JobError
from fewshot_distillation.status.orphans import QueuedJob, cancel, orphans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default=".", type=Path, help="working folder of the study")
    parser.add_argument("--results", type=Path, help="results folder, seen from there, if it isn't below it")
    parser.add_argument("--cancel", action="store_true", help="cancel them")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        found = orphans(arguments.directory, arguments.results and arguments.directory / arguments.results)
        print("\n".join(map(described, found)) or f"no orphaned jobs of {arguments.directory.resolve()}")
        if arguments.cancel and found:
            cancel(found)
            print(f"cancelled {len(found)}")
    except JobError as error:
        sys.exit(f"error: {error}")


def described(job: QueuedJob) -> str:
    rule, _, wildcards = job.comment.removeprefix("rule_").partition("_wildcards_")
    return f"{job.number:>8}  {job.state:<10} {job.submitted}  {job.node or '-':<12} {rule} {wildcards}"


if __name__ == "__main__":
    main()
