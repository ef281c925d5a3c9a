"""Cache the teacher's top-k logits, computed from its cached hidden states."""

from pathlib import Path

from fewshot_distillation.config.specs import LogitsSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "activations": "activations.safetensors",
    "meta": "meta.json of the activations",
    "output": "logits.safetensors",
    "audit": "audit.json: digest, top k and temperatures of the cache",
}


def main() -> None:
    with job(__doc__, LogitsSpec, ARGUMENTS) as this:
        from fewshot_distillation.teacher.logits import precompute_logits

        model, meta = Path(this.paths.model), Path(this.paths.meta)
        outputs = {"logits": Path(this.paths.output), "audit": Path(this.paths.audit)}
        with this.workspace(outputs, inputs=[model, meta]) as work:
            if work:
                activations = Path(this.paths.activations)
                written = work["logits"], work["audit"]
                precompute_logits(this.spec, model.parent, activations, meta, work.folder, *written)


if __name__ == "__main__":
    main()
