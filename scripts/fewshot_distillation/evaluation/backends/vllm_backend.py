"""Generation with vLLM in this process: one engine, and one LoRA request for each adapter."""

import gc
import importlib.util
import json
import logging
import os
from pathlib import Path

import torch

from ...data.checkpoints import is_adapter
from ...data.limits import limits_of
from ...errors import JobError
from ...modeling.load import device, dtype_for
from .base import Generation, Setting
from .sampling import seed_of

log = logging.getLogger("fewshot_distillation")

# Ranks that vLLM has kernels for; the engine is built for the smallest that holds the adapters.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def rank_for(checkpoints: list[Path]) -> int | None:
    """Return `max_lora_rank` for an engine that serves these adapters; None where none of them is one.

    Raises:
        JobError: an adapter is larger than any that vLLM serves.
    """
    configs = [json.loads((c / "adapter_config.json").read_text()) for c in checkpoints if is_adapter(c)]
    ranks = [max(config["r"], *config.get("rank_pattern", {}).values(), 0) for config in configs]
    if not ranks:
        return None
    fitting = [rank for rank in RANKS if rank >= max(ranks)]
    if not fitting:
        raise JobError(f"lora.r: vLLM serves adapters up to rank {RANKS[-1]}, and these have rank {max(ranks)}")
    return fitting[0]


def available() -> str | None:
    installed = importlib.util.find_spec("vllm") is not None
    return None if installed else "vLLM isn't installed here; install envs/requirements-gpu.txt"


def preference() -> int:
    """Return its rank for `auto`: on a CPU adapters are slow in it."""
    return 2 if torch.cuda.is_available() else 0


def create(setting: Setting) -> "VllmBackend":
    return VllmBackend(setting)


class VllmBackend:
    """Greedy decoding by an engine that batches for itself and reads a shared beginning of prompts only once.

    The job's GPUs share each layer (tensor parallelism), and one engine serves all adapters of its model.
    """

    name = engine = "vllm"
    batch_tokens = 1_000_000

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.max_lora_rank = rank_for(setting.checkpoints)
        self.llm, self.loaded, self.lora = None, None, None
        self.lora_numbers: dict[Path, int] = {}

    def use(self, checkpoint: Path | None) -> None:
        from vllm.lora.request import LoRARequest

        adapter = checkpoint is not None and is_adapter(checkpoint)
        self._load(self.setting.model_folder if adapter or checkpoint is None else checkpoint)
        if adapter:
            number = self.lora_numbers.setdefault(checkpoint, len(self.lora_numbers) + 1)
            self.lora = LoRARequest(str(checkpoint.resolve()), number, str(checkpoint.resolve()))
        else:
            self.lora = None

    def _load(self, folder: Path) -> None:
        """An engine for this model; the one that is there serves all adapters of its model."""
        if self.loaded == folder:
            return
        self.close()
        # Set before vLLM is imported: it sends usage statistics otherwise.
        os.environ.update(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        on_cpu = device().type == "cpu"
        if on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB; vLLM would take half of the memory
            # Its two extra processes take longer to start than most CPU jobs run, and share the job's cores.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        from vllm import LLM

        log.info("starting vLLM for %s", folder)
        lora = {"enable_lora": True, "max_lora_rank": self.max_lora_rank, "max_loras": 1} if self.max_lora_rank else {}
        try:
            self.llm = LLM(
                str(folder),
                dtype=str(dtype_for(self.setting.precision, device())).removeprefix("torch."),
                max_model_len=self._context(folder),
                tensor_parallel_size=1 if on_cpu else max(1, self.setting.gpus),
                enable_prefix_caching=True,
                enforce_eager=on_cpu,
                trust_remote_code=False,
                seed=0,
                **lora,
            )
        except (ValueError, RuntimeError) as error:
            raise JobError(f"vLLM can't serve {folder}: {error}") from error
        self.loaded = folder

    def _context(self, folder: Path) -> int:
        """Tokens that a prompt and its answer may take, within the model's positions."""
        return min(self.setting.max_tokens, limits_of(folder).positions or self.setting.max_tokens)

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        from vllm import SamplingParams, TokensPrompt

        # Only these stop an answer, whatever the model's own generation settings are.
        common = {"max_tokens": max_new_tokens, "stop_token_ids": stop_ids, "ignore_eos": True, "detokenize": False}
        sampling = self.setting.sampling
        if sampling is None:
            chosen = SamplingParams(temperature=0, **common)
        else:
            drawn = {"temperature": sampling.temperature, **common}
            chosen = [SamplingParams(seed=seed_of(sampling, ids), **drawn) for ids in prompts]
        outputs = self.llm.generate(
            [TokensPrompt(prompt_token_ids=ids) for ids in prompts], chosen, lora_request=self.lora, use_tqdm=False
        )
        found = [output.outputs[0] for output in outputs]
        return [Generation.of_engine(list(o.token_ids), o.finish_reason, max_new_tokens, stop_ids) for o in found]

    def close(self) -> None:
        """Release the engine's memory, before another model is loaded."""
        if self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
            self.llm, self.loaded = None, None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
