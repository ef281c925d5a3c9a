"""An exported adapter and an exported merged model, served by vLLM as their users would."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_vllm import agree

from fewshot_distillation.config.catalogue import Server
from fewshot_distillation.config.deliverables import CHOSEN, export_spec
from fewshot_distillation.evaluation import backends
from fewshot_distillation.evaluation.backends.base import Setting
from fewshot_distillation.export.write import export
from tiny import study

pytestmark = pytest.mark.vllm
STEP = 6


@pytest.fixture(scope="module")
def exported(served: Path, adapters: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the exported adapter and the merged model, of the last checkpoint of a run that was scored."""
    folder = tmp_path_factory.mktemp("exported")
    run = folder / "runs" / "tiny" / "layerwise" / "lambda0.5" / "seed42" / "short"
    shutil.copytree(adapters, run / "checkpoints")
    shares = {"n": 2, "correct": 1, "accuracy": 0.5, "low": 0.1, "high": 0.9}
    pd.DataFrame([{"condition": "layerwise", "step": STEP} | shares]).to_csv(run / "accuracy.csv")
    judged = pd.DataFrame({"question_index": [0, 1], "correct": [True, False], "step": STEP})
    judged.to_parquet(run / "judged.parquet")
    plan = study(precision="fp32")
    spec = export_spec(plan, plan.models[0], CHOSEN)
    work = {"adapter": folder / "adapter", "merged": folder / "merged", "manifest": folder / "manifest.json"}
    export(spec, served, [run] * len(spec.candidates), [], [], work)
    return work


def test_vllm_loads_both_and_says_the_same(exported: dict[str, Path], served: Path, prompts, builder, by_transformers):
    """The answers are those of the checkpoint by transformers: another engine's, and of the unexported adapter."""
    for folder, adapter in ((exported["merged"], None), (served, exported["adapter"])):
        chosen = [adapter] if adapter else []
        server = Server(url="http://127.0.0.1:1/v1")
        backend = backends.create("vllm", Setting(folder, ["tiny"], builder.tokenizer, "fp32", 1024, 1, server, chosen))
        try:
            backend.use(adapter)
            agree(backend.generate(prompts, 24, builder.stop_ids), by_transformers[STEP])
        finally:
            backend.close()
