"""Say how far a study is: what is done, running and waiting. Nothing that runs is disturbed."""

import argparse
import sys
from pathlib import Path

from fewshot_distillation.errors import JobError
from fewshot_distillation.status.plan import read_plan
from fewshot_distillation.status.states import status
from fewshot_distillation.status.text import described


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results", type=Path, help="results folder of the study")
    results = parser.parse_args().results
    try:
        print(described(status(read_plan(results), results)))
    except JobError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
