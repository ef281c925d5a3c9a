"""Measure how far the base model is from its teacher, before anything is trained."""

from pathlib import Path

from fewshot_distillation.config.specs import SignalSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split",
    "activations": "activations.safetensors",
    "meta": "meta.json of the activations",
    "written?": "a teacher's answers to the training questions, where those were read",
    "output": "signal.json",
}


def main() -> None:
    with job(__doc__, SignalSpec, ARGUMENTS, process_per_gpu=True) as this:
        from fewshot_distillation.teacher.signal import audit_signal

        names = ("model", "train", "activations", "meta", "output")
        model, train, activations, meta, output = (Path(getattr(this.paths, name)) for name in names)
        written = Path(this.paths.written) if this.paths.written else None
        with this.workspace({"signal": output}, inputs=[model, train, meta]) as work:
            if work:
                audit_signal(this.spec, model.parent, train, activations, meta, work.folder, work["signal"], written)


if __name__ == "__main__":
    main()
