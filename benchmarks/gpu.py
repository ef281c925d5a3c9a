"""All comparisons on one GPU, in about six minutes, with random weights of Qwen3-1.7B's shape if none are given.

python benchmarks/gpu.py [--model FOLDER] [--rows FOLDER] [--smoke]

Needs what envs/requirements-gpu.txt installs, and TRL for the comparison with it. `--smoke` runs everything on a tiny
model, on any machine.
"""

import argparse
import gc
import time
from pathlib import Path

import measuring
import torch
from workload import prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--output", type=Path, default=measuring.ROOT / "results" / "benchmarks" / "gpu")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    if not given.smoke and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; `make bench` compares on the CPU, and --smoke tries this program")
    import evaluation
    import teacher

    import training

    started = time.monotonic()
    load = prepared("smoke" if given.smoke else "gpu", given.model, given.rows, given.output)
    teacher.run(load)
    # TRL needs the room that the teacher had.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    training.run(load)
    evaluation.run(load)
    print(f"together {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
