"""How each kind of server is asked: vLLM's, llama.cpp's, and any other that follows OpenAI's completions protocol.

A field that a server doesn't have is ignored by one, refused by another, and means something else to a third: vLLM's
`ignore_eos` leaves stopping to `stop_token_ids`, llama.cpp's forbids every end token. So a server is asked what it is,
and is sent the fields that its own documentation lists. Prompts travel as token ids everywhere.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import APIStatusError, OpenAI, OpenAIError

from ...errors import JobError
from ...runtime.files import sha256

log = logging.getLogger("fewshot_distillation")


@dataclass(frozen=True)
class Reply:
    """What a server wrote.

    `ids` may end in the token that ended the answer, and is None where the server returns text alone. `written` and
    `read` are its own counts of answer and prompt tokens, None where it doesn't count.
    """

    ids: list[int] | None
    text: str
    finish_reason: str | None
    written: int | None
    read: int | None


def adapter_name(folder: Path) -> str:
    """Return the name under which a server is to have an adapter, with the digest of its weights.

    A server keeps what it computed with an adapter's name, so one that was trained anew needs another.
    """
    return f"{folder.name}-{sha256(folder / 'adapter_model.safetensors')[:16]}"


class OpenAIProtocol:
    """The fields that OpenAI documents for completions, and no adapters.

    Answers end at the server's own end token or at the text of ours (`stop`, of which the protocol allows four).
    """

    kind = "OpenAI protocol"

    def __init__(self, client: OpenAI, url: str, tokenizer: Any, base: str) -> None:
        self.client, self.url, self.tokenizer, self.base = client, url, tokenizer, base
        self.root = url.rstrip("/").removesuffix("/v1")
        self.served = base

    def _get(self, path: str) -> Any:
        return self.client.get(f"{self.root}{path}", cast_to=object)

    def _post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"{self.root}{path}", body=body, cast_to=object)

    @property
    def slots(self) -> int | None:
        """How many requests the server works on at a time; None if it doesn't report that."""
        return None

    def use_base(self) -> None:
        self.served = self.base

    def use_adapter(self, folder: Path) -> None:
        raise JobError(
            f"server.url: {self.url} is neither vLLM nor llama.cpp, so it can't be asked for the adapter {folder}; "
            "serve the model with vLLM, or choose evaluation.backend: transformers"
        )

    def tokens_of(self, text: str) -> list[int] | None:
        """Return the server's tokens of a text, without added special tokens; None if it can't return them."""
        return None

    def count_of(self, text: str) -> int | None:
        """Return how many tokens the server reads in a text, with those that it adds; None if it doesn't count."""
        answer = self.client.completions.create(model=self.served, prompt=text, max_tokens=1, temperature=0)
        return answer.usage.prompt_tokens if answer.usage else None

    def complete(
        self, prompt: list[int], limit: int, stop_ids: list[int], logit_bias: dict[int, float] | None = None
    ) -> Reply:
        """Continue a prompt greedily by at most `limit` tokens."""
        bias = {"logit_bias": {str(token): value for token, value in logit_bias.items()}} if logit_bias else {}
        answer = self.client.completions.create(
            model=self.served, prompt=prompt, max_tokens=limit, temperature=0, top_p=1, **bias, **self._stop(stop_ids)
        )
        if answer.model != self.served:
            raise JobError(f"{self.url} answered with {answer.model!r}, but {self.served!r} was asked for")
        choice, usage = answer.choices[0], answer.usage
        return Reply(
            getattr(choice, "token_ids", None),
            choice.text,
            choice.finish_reason,
            usage.completion_tokens if usage else None,
            usage.prompt_tokens if usage else None,
        )

    def _stop(self, stop_ids: list[int]) -> dict[str, Any]:
        return {"stop": [self.tokenizer.decode([token]) for token in stop_ids][:4]}


class VllmProtocol(OpenAIProtocol):
    """vLLM's server, which takes stop tokens by their ids and returns the tokens of an answer."""

    kind = "vLLM"

    def _stop(self, stop_ids: list[int]) -> dict[str, Any]:
        # Only these stop an answer, whatever the model's own generation settings are.
        fields = {"stop_token_ids": stop_ids, "ignore_eos": True, "repetition_penalty": 1.0, "return_token_ids": True}
        return {"extra_body": fields}

    def tokens_of(self, text: str) -> list[int] | None:
        return self._post("/tokenize", model=self.served, prompt=text, add_special_tokens=False)["tokens"]

    def use_adapter(self, folder: Path) -> None:
        """Have an adapter served, loading it if the server may be asked to.

        Raises:
            JobError: the server doesn't have the adapter and doesn't load it.
        """
        name = adapter_name(folder)
        refused = "" if name in {model.id for model in self.client.models.list()} else self._load(name, folder)
        mine = [model for model in self.client.models.list() if getattr(model, "parent", None) in (self.base, None)]
        # Where the server loads nothing, what it was started with counts, by the folder that it reports.
        places = (str(folder), os.path.relpath(folder)) if refused else ()
        found = [model.id for model in mine if model.id == name]
        found += [model.id for model in mine if getattr(model, "root", None) in places]
        if not found:
            raise JobError(
                f"server.url: {self.url} doesn't serve the adapter {folder} ({refused}); start it with --enable-lora "
                f"--max-lora-rank RANK and either --lora-modules NAME={folder}, or with "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment so that it loads adapters when asked"
            )
        self.served = found[0]

    def _load(self, name: str, folder: Path) -> str:
        """Ask the server to load an adapter; why it refused, or nothing."""
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            self.client.with_options(max_retries=0).post("/load_lora_adapter", body=body, cast_to=str)
            return ""
        except APIStatusError as error:
            return str(error.message)


class LlamaCppProtocol(OpenAIProtocol):
    """llama.cpp's server, by its own `/completion`, which returns tokens and what ended them.

    Its end tokens are those of the GGUF file: where one of them isn't ours, the answer is continued behind it.
    """

    kind = "llama.cpp"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loaded = self._get("/lora-adapters")
        self.applied: int | None = None

    @property
    def slots(self) -> int | None:
        return self._get("/props").get("total_slots")

    def use_base(self) -> None:
        self.applied = None

    def use_adapter(self, folder: Path) -> None:
        """Apply an adapter that the server was started with, recognised by its file's name.

        Raises:
            JobError: it would scale it otherwise, or has no such adapter; it reads only its own format and loads
                nothing while it runs.
        """
        config = json.loads((folder / "adapter_config.json").read_text())
        if scaled := next((key for key in ("use_rslora", "alpha_pattern") if config.get(key)), None):
            raise JobError(
                f"{folder}: the adapter has the setting {scaled}, but llama.cpp scales every adapter by alpha / r; "
                "choose evaluation.backend: transformers"
            )
        name = adapter_name(folder)
        found = [entry["id"] for entry in self.loaded if Path(entry["path"]).stem == name]
        if not found:
            raise JobError(
                f"server.url: {self.url} is llama.cpp and wasn't started with the adapter {folder}; convert it with "
                f"llama.cpp's convert_lora_to_gguf.py --outfile {name}.gguf and restart the server with "
                f"--lora {name}.gguf, or choose evaluation.backend: transformers"
            )
        self.applied = found[0]

    def tokens_of(self, text: str) -> list[int] | None:
        return self._post("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]

    def complete(
        self, prompt: list[int], limit: int, stop_ids: list[int], logit_bias: dict[int, float] | None = None
    ) -> Reply:
        ids: list[int] = []
        while True:
            answer = self._post(
                "/completion",
                prompt=prompt + ids,
                n_predict=limit - len(ids),
                # The likeliest token and nothing else, whatever samplers and penalties the server was started with.
                samplers=["top_k"],
                top_k=1,
                mirostat=0,
                temperature=0,
                return_tokens=True,
                # An adapter that isn't named here is applied with the scale of the server's start.
                lora=[{"id": e["id"], "scale": float(e["id"] == self.applied)} for e in self.loaded],
                logit_bias=[[token, value] for token, value in (logit_bias or {}).items()],
            )
            ids += answer["tokens"]
            ended = answer["stop_type"] == "eos" and answer["tokens"]
            if not ended or ids[-1] in stop_ids or len(ids) >= limit:
                break
        reason = {"limit": "length", "eos": "stop" if ids[-1:] and ids[-1] in stop_ids else "length"}
        finish = reason.get(answer["stop_type"], answer["stop_type"])
        read = answer["tokens_evaluated"] - len(ids) + len(answer["tokens"])
        return Reply(ids, answer["content"], finish, len(ids), read)


def recognised(client: OpenAI, url: str, tokenizer: Any, model: Any) -> OpenAIProtocol:
    """Return the protocol of a server, by its description of the model that it serves."""
    kinds = {"vllm": VllmProtocol, "llamacpp": LlamaCppProtocol}
    protocol = kinds.get(getattr(model, "owned_by", None), OpenAIProtocol)(client, url, tokenizer, model.id)
    stored = (getattr(model, "meta", None) or {}).get("ftype") if isinstance(protocol, LlamaCppProtocol) else None
    if stored and stored.removeprefix("all ") not in ("F32", "F16", "BF16"):
        log.warning("the server's weights are quantised (%s), so its answers aren't those of the full weights", stored)
    try:
        version = f" {protocol._get('/version')['version']}" if isinstance(protocol, VllmProtocol) else ""
    except (OpenAIError, KeyError, TypeError):
        version = ""
    log.info("the server at %s is %s%s", url, protocol.kind, version)
    return protocol
