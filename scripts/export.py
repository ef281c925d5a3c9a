"""Export a checkpoint: as an adapter and as a merged model, each with a card."""

from pathlib import Path

from fewshot_distillation.config.specs import ExportSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched base model",
    "runs*": "accuracy.csv of each candidate run",
    "baselines*": "accuracy.csv of the base model with each prompt",
    "plain*": "accuracy.csv of the runs of plain fine-tuning",
    "manifest": "manifest.json, beside which adapter/ and merged/ are put",
}


def main() -> None:
    with job(__doc__, ExportSpec, ARGUMENTS) as this:
        from fewshot_distillation.export.write import export

        paths, model = this.paths, Path(this.paths.model)
        folders = [[Path(path).parent for path in group] for group in (paths.runs, paths.baselines, paths.plain)]
        manifest = Path(paths.manifest)
        outputs = {"manifest": manifest} | {kind: manifest.with_name(kind) for kind in ("adapter", "merged")}
        inputs = [model, *map(Path, [*paths.runs, *paths.baselines, *paths.plain])]
        inputs += [folder / "checkpoints" / "manifest.json" for folder in folders[0]]
        with this.workspace(outputs, inputs) as work:
            if work:
                export(this.spec, model.parent, *folders, {name: work[name] for name in outputs})


if __name__ == "__main__":
    main()
