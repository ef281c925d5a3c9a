"""Generation by a server that speaks OpenAI's completions protocol, such as `vllm serve`.

Prompts travel as token ids, so the server's own chat template and tokenizer have no say in them.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openai import APIConnectionError, APIStatusError, OpenAI, OpenAIError

from ...data.checkpoints import is_adapter
from ...runtime.errors import JobError
from ...runtime.files import sha256
from .base import Generation, Setting

log = logging.getLogger("fewshot_distillation")
RETRIES = 5  # with growing pauses: about half a minute in all


def create(setting: Setting) -> "ServerBackend":
    return ServerBackend(setting)


class ServerBackend:
    """Greedy decoding by requests, many at a time; what the server batches is its own affair."""

    name = "server"
    batch_tokens = 200_000

    def __init__(self, setting: Setting) -> None:
        server, folder = setting.server, setting.model_folder
        self.server, self.model_folder, self.tokenizer = server, folder, setting.tokenizer
        self.names = [server.model] if server.model else [*setting.names, str(folder), str(folder.resolve())]
        key = os.environ.get("OPENAI_API_KEY", "none")
        self.client = OpenAI(base_url=server.url, api_key=key, timeout=server.timeout, max_retries=RETRIES)
        self.served = ""

    def use(self, checkpoint: Path | None) -> None:
        base = self._base()
        if checkpoint is None:
            self.served = base
        elif is_adapter(checkpoint):
            self.served = self._adapter(checkpoint.resolve(), base)
        else:
            raise JobError(f"{checkpoint} is a whole model, which one server can't change to; use backend vllm")
        log.info("the server generates with %s", self.served)

    def _models(self) -> list[Any]:
        try:
            return list(self.client.models.list())
        except APIConnectionError as error:
            raise JobError(
                f"server.url: no server answers at {self.server.url} ({error.__cause__ or error}); start one, for "
                f"example with: vllm serve {self.model_folder} --enable-lora"
            ) from None
        except OpenAIError as error:
            raise JobError(f"server.url: {self.server.url} doesn't list its models: {error}") from None

    def _base(self) -> str:
        """The id under which the server has the model.

        Raises:
            JobError: it has others.
        """
        models = [model for model in self._models() if not getattr(model, "parent", None)]
        for model in models:
            if model.id in self.names or getattr(model, "root", None) in self.names:
                return model.id
        raise JobError(
            f"server.url: {self.server.url} serves {', '.join(m.id for m in models) or 'no model'}, but this job needs "
            f"{self.names[0]}; start it with that model, or name the served one in server.model"
        )

    def _adapter(self, folder: Path, base: str) -> str:
        """The id under which the server has an adapter, which it is asked to load if it may be asked.

        The name holds the digest of the weights: a server keeps what it computed with an adapter's name, so one that
        was trained anew must not come under the old one.

        Raises:
            JobError: the server doesn't have the adapter and doesn't load it.
        """
        name = f"{folder.name}-{sha256(folder / 'adapter_model.safetensors')[:16]}"
        refused = "" if name in {model.id for model in self._models()} else self._load(name, folder)
        mine = [model for model in self._models() if getattr(model, "parent", None) in (base, None)]
        for model in mine:
            if model.id == name:
                return model.id
        # Where the server loads nothing, what it was started with counts, by the folder that it says it read.
        for model in mine:
            if refused and getattr(model, "root", None) in (str(folder), os.path.relpath(folder)):
                return model.id
        raise JobError(
            f"server.url: {self.server.url} doesn't serve the adapter {folder} ({refused}); start it with "
            f"--enable-lora --max-lora-rank RANK and either --lora-modules NAME={folder}, or with "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment so that it loads adapters when asked"
        )

    def _load(self, name: str, folder: Path) -> str:
        """Ask the server to load an adapter; why it refused, or nothing."""
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            self.client.with_options(max_retries=0).post("/load_lora_adapter", body=body, cast_to=str)
            return ""
        except APIStatusError as error:
            return str(error.message)

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        with ThreadPoolExecutor(self.server.concurrency) as pool:
            return list(pool.map(lambda ids: self._complete(ids, max_new_tokens, stop_ids), prompts))

    def _complete(self, prompt: list[int], max_new_tokens: int, stop_ids: list[int]) -> Generation:
        try:
            answer = self.client.completions.create(
                model=self.served,
                prompt=prompt,
                max_tokens=max_new_tokens,
                temperature=0,
                top_p=1,
                extra_body={
                    # Only these stop an answer, whatever the model's own generation settings say.
                    "stop_token_ids": stop_ids,
                    "ignore_eos": True,
                    "repetition_penalty": 1.0,
                    "return_token_ids": True,
                },
            )
        except OpenAIError as error:
            raise JobError(f"{self.server.url} failed after {RETRIES} retries: {error}") from None
        if answer.model != self.served:
            raise JobError(f"{self.server.url} answered with {answer.model!r}, but {self.served!r} was asked for")
        choice = answer.choices[0]
        ids, limit = getattr(choice, "token_ids", None), max_new_tokens
        if ids is None:  # of vLLM alone; read back from the text there may be fewer tokens than were written
            ids, limit = self.tokenizer(choice.text, add_special_tokens=False)["input_ids"], 0
        return Generation.of_engine(ids, choice.finish_reason, limit, stop_ids)

    def close(self) -> None:
        self.client.close()
