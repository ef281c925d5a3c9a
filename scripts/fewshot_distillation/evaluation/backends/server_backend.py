"""Generation by a server with OpenAI's completions protocol, such as `vllm serve` or llama.cpp's.

Prompts travel as token ids, so the server's own chat template has no influence on them, and its tokenizer is compared
with the model's before the first answer.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import APIConnectionError, APIStatusError, BadRequestError, OpenAI, OpenAIError, UnprocessableEntityError

from ...data.checkpoints import is_adapter
from ...errors import JobError
from .base import Generation, Setting
from .protocols import OpenAIProtocol, Reply, recognised

log = logging.getLogger("fewshot_distillation")
RETRIES = 5  # with growing pauses: about half a minute in all
SURE = 100.0  # a bias that makes a token certain; the largest that the protocol allows


def available() -> str | None:
    return None


def create(setting: Setting) -> "ServerBackend":
    """Make the backend.

    Raises:
        JobError: answers are to be drawn, which servers do each in their own way.
    """
    if setting.sampling is not None:
        raise JobError(
            "evaluation.backend: sampled answers are unsupported with a server, because each kind of server reads "
            "seeds in its own way; remove `sampling` from the teacher, or choose backend vllm or transformers"
        )
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
        self.protocol: OpenAIProtocol | None = None
        self.checked = False

    @property
    def engine(self) -> str:
        return f"server ({self.protocol.kind})" if self.protocol else self.name

    def use(self, checkpoint: Path | None) -> None:
        try:
            self._use(checkpoint)
        except APIConnectionError as error:
            raise JobError(
                f"server.url: no server answers at {self.server.url} ({error.__cause__ or error}); start one, for "
                f"example with: vllm serve {self.model_folder} --enable-lora"
            ) from None
        except OpenAIError as error:
            raise JobError(f"server.url: {self.server.url} doesn't list its models: {error}") from None

    def _use(self, checkpoint: Path | None) -> None:
        model = self._base()
        if self.protocol is None or self.protocol.base != model.id:
            self.protocol = recognised(self.client, self.server.url, self.tokenizer, model)
        if checkpoint is None:
            self.protocol.use_base()
        elif is_adapter(checkpoint):
            self.protocol.use_adapter(checkpoint.resolve())
        else:
            raise JobError(f"{checkpoint} is a whole model, which one server can't change to; use backend vllm")
        log.info("the server generates with %s", checkpoint or model.id)

    def _base(self) -> object:
        """The model as the server lists it.

        Raises:
            JobError: it has others.
        """
        models = [model for model in self.client.models.list() if not getattr(model, "parent", None)]
        for model in models:
            if model.id in self.names or getattr(model, "root", None) in self.names:
                return model
        raise JobError(
            f"server.url: {self.server.url} serves {', '.join(m.id for m in models) or 'no model'}, but this job needs "
            f"{self.names[0]}; start it with that model, or name the served one in server.model"
        )

    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        try:
            if not self.checked:
                self._check_tokens(prompts[0])
                self._check_stops(prompts[0], max_new_tokens, stop_ids)
                self.checked = True
            at_once = min(self.server.concurrency, self.protocol.slots or self.server.concurrency)
            with ThreadPoolExecutor(at_once) as pool:
                return list(pool.map(lambda ids: self._complete(ids, max_new_tokens, stop_ids), prompts))
        except APIStatusError as error:
            again = f" after {RETRIES} retries" if error.status_code >= 500 else ""
            raise JobError(f"{self.server.url} failed{again}: {error}") from None
        except OpenAIError as error:
            raise JobError(f"{self.server.url} failed after {RETRIES} retries: {error}") from None

    def _complete(self, prompt: list[int], max_new_tokens: int, stop_ids: list[int]) -> Generation:
        reply = self.protocol.complete(prompt, max_new_tokens, stop_ids)
        self._check_read(reply, prompt)
        ids, written = reply.ids, None
        if ids is None:  # read back from the text there may be fewer tokens than were written
            ids, written = self.tokenizer(reply.text, add_special_tokens=False)["input_ids"], reply.written
            written = max_new_tokens if written is None else written
        return Generation.of_engine(ids, reply.finish_reason, max_new_tokens, stop_ids, written)

    def _check_read(self, reply: Reply, prompt: list[int]) -> None:
        """A server may cut a prompt that it has no room for, or add a token, without a word."""
        if reply.read not in (None, len(prompt)):
            raise JobError(
                f"{self.server.url} read {reply.read} tokens of a prompt of {len(prompt)}; give it a longer context, "
                "and have it add no tokens to prompts"
            )

    def _check_tokens(self, prompt: list[int]) -> None:
        """Compare the server's tokens of a question with the tokenizer's.

        Raises:
            JobError: they differ, so the server has another model's vocabulary.
        """
        text = self.tokenizer.decode(prompt, skip_special_tokens=True)
        ours = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        try:
            theirs = self.protocol.tokens_of(text)
            count = len(theirs) if theirs is not None else self.protocol.count_of(text)
        except APIStatusError as error:
            log.warning("the server's tokens couldn't be compared with the tokenizer's: %s", error)
            return
        allowed = {len(ours)} if theirs is not None else {len(ours), len(self.tokenizer(text)["input_ids"])}
        if theirs not in (None, ours) or count not in (None, *allowed):
            raise JobError(
                f"server.url: {self.server.url} reads a question as {count} tokens{_beginning(theirs)}, the model's "
                f"tokenizer as {len(ours)}{_beginning(ours)}; it serves another model or an altered tokenizer"
            )

    def _check_stops(self, prompt: list[int], max_new_tokens: int, stop_ids: list[int]) -> None:
        """Make each stop token certain, and see whether it ends the answer.

        Raises:
            JobError: it doesn't, so every answer would run to the limit.
        """
        endless = []
        for token in stop_ids:
            try:
                reply = self.protocol.complete(prompt, 4, stop_ids, {token: SURE})
            except (BadRequestError, UnprocessableEntityError):  # it can't make a token certain
                return self._check_one_answer(prompt, max_new_tokens, stop_ids)
            if reply.finish_reason != "stop":
                endless.append(token)
        if endless and not self._makes_certain(prompt, stop_ids):
            return self._check_one_answer(prompt, max_new_tokens, stop_ids)
        if endless:
            names = ", ".join(f"{self.tokenizer.decode([token])!r} ({token})" for token in endless)
            raise JobError(
                f"server.url: {self.server.url} doesn't end an answer at {names}, so answers would run to the limit; "
                "serve the model with its own tokenizer and generation settings, or choose another backend"
            )

    def _makes_certain(self, prompt: list[int], stop_ids: list[int]) -> bool:
        """Whether the server heeds a bias at all: some ignore the field."""
        usual = self.protocol.complete(prompt, 2, stop_ids)
        token = next(token for token in prompt if token not in stop_ids)
        return self.protocol.complete(prompt, 2, stop_ids, {token: SURE}).text != usual.text

    def _check_one_answer(self, prompt: list[int], max_new_tokens: int, stop_ids: list[int]) -> None:
        """Where nothing can be forced, one question has to do."""
        if self.protocol.complete(prompt, max_new_tokens, stop_ids).finish_reason == "length":
            log.warning(
                "the server's answer to the first question ran to the limit of %d tokens; if no answer ends earlier, "
                "the server doesn't end them where this model does",
                max_new_tokens,
            )

    def close(self) -> None:
        self.client.close()


def _beginning(ids: list[int] | None) -> str:
    return "" if ids is None else f" ({', '.join(map(str, ids[:8]))}, …)"
