"""Train one student and keep the checkpoints of its schedule."""

from pathlib import Path

from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split",
    "targets*": "for each target: its teacher's cache, then the JSON that describes the cache",
    "written?": "a teacher's answers to the training questions, for a condition that learns from those",
    "judged?": "which of those answers are right, for a condition that keeps no others",
    "checkpoints": "manifest of the checkpoints, which are put beside it",
    "metrics": "metrics.csv; tensorboard/ is put beside it",
}


def main() -> None:
    with job(__doc__, TrainSpec, ARGUMENTS, process_per_gpu=True) as this:
        from fewshot_distillation.student.run import TrainInputs, train

        paths, targets = this.paths, list(map(Path, this.paths.targets))
        inputs = TrainInputs(
            train=Path(paths.train),
            caches=list(zip(targets[::2], targets[1::2], strict=True)),
            written=Path(paths.written) if paths.written else None,
            judged=Path(paths.judged) if paths.judged else None,
        )
        outputs = {
            "metrics": Path(paths.metrics),
            "tensorboard": Path(paths.metrics).with_name("tensorboard"),
            "checkpoints": Path(paths.checkpoints).parent,
        }
        model = Path(paths.model)
        # What describes a cache has its digest.
        files = [model, inputs.train, *targets[1::2], *filter(None, (inputs.written, inputs.judged))]
        losses = {f"student.losses.{target.target}.{target.loss}" for target in this.spec.learning.targets}
        with this.workspace(outputs, files, *sorted(losses)) as work:
            if work:
                train(this.spec, model.parent, inputs, work, this.machine)


if __name__ == "__main__":
    main()
