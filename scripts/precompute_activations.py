"""Cache the teacher's hidden states at the spans of tokens that conditions learn from."""

from pathlib import Path

from fewshot_distillation.config.specs import ActivationsSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split",
    "written?": "a teacher's answers to the training questions, where those are read",
    "output": "activations.safetensors",
    "meta": "meta.json: digests, positions, prompt lengths",
}


def main() -> None:
    with job(__doc__, ActivationsSpec, ARGUMENTS, process_per_gpu=True) as this:
        from fewshot_distillation.teacher.activations import precompute_activations

        model, train = Path(this.paths.model), Path(this.paths.train)
        outputs = {"activations": Path(this.paths.output), "meta": Path(this.paths.meta)}
        written = Path(this.paths.written) if this.paths.written else None
        with this.workspace(outputs, inputs=[model, train, *([written] if written else [])]) as work:
            if work:
                files = (work["activations"], work["meta"])
                precompute_activations(this.spec, model.parent, train, work.folder, *files, written)


if __name__ == "__main__":
    main()
