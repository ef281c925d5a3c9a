"""Train one LoRA student and keep the checkpoints of its schedule."""

from pathlib import Path

from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split",
    "targets*": "for a condition with a teacher: its cache, then the JSON that describes the cache",
    "trackers*": "experiment trackers",
    "save-state-every": "optimizer steps between saved states",
    "gradient-checkpointing": "1 to compute layers a second time instead of keeping their activations, or 0",
    "gpus": "GPUs that were allotted to this job",
    "state": "folder of unfinished work",
    "checkpoints": "manifest of the checkpoints, which lie beside it",
    "metrics": "metrics.csv; tensorboard/ comes to lie beside it",
}


def main() -> None:
    with job(__doc__, TrainSpec, ARGUMENTS) as this:
        from fewshot_distillation.student.trainer import train

        paths = this.paths
        model, data = Path(paths.model), Path(paths.train)
        cache, description = map(Path, paths.targets) if paths.targets else (None, None)
        outputs = {
            "metrics": Path(paths.metrics),
            "tensorboard": Path(paths.metrics).with_name("tensorboard"),
            "checkpoints": Path(paths.checkpoints).parent,
        }
        loss = [] if description is None else [f"student.losses.{this.spec.condition.loss}"]
        with this.workspace(outputs, [model, data, *([description] if description else [])], *loss) as work:
            if work:
                train(
                    this.spec,
                    model.parent,
                    data,
                    cache,
                    description,
                    work,
                    trackers=paths.trackers,
                    save_state_every=int(paths.save_state_every),
                    gradient_checkpointing=bool(int(paths.gradient_checkpointing)),
                )


if __name__ == "__main__":
    main()
