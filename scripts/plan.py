"""Print what a study takes before anything runs: jobs, FLOPs, hours of a device, disk, and what is done already."""

import argparse
import json
import logging
import sys
from pathlib import Path

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study
from fewshot_distillation.errors import JobError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configuration", required=True, type=Path, help="JSON file of the whole configuration")
    parser.add_argument("arguments", nargs="*", help="Snakemake's, with the targets to plan; after --")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from fewshot_distillation.estimate.jobs import jobs_of
    from fewshot_distillation.estimate.table import Plan

    try:
        study = Study(load(json.loads(given.configuration.read_text())))
        print(Plan(study, jobs_of(given.arguments), Path(study.config.results)).text())
    except (JobError, ConfigError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
