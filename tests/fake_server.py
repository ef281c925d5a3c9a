"""As much of a completions server as the backend `server` talks to, of vLLM's kind or of another; it can misbehave.

Texts are numbers, one a token: the prompt [5, 6] is answered with "5 6".
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STOP = [7, 8]


def answer_to(ids: list[int]) -> list[int]:
    return [*ids[-2:], STOP[0]]


class Tokenizer:
    """`added` is what it puts before a text that is tokenised by itself."""

    def __init__(self, added: tuple[int, ...] = ()) -> None:
        self.added = added

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [*(self.added if add_special_tokens else ()), *(int(word) for word in text.split())]}

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return " ".join(str(token) for token in ids if not (skip_special_tokens and token in STOP))


class FakeServer:
    """Remembers what it was asked.

    Args:
        folder: of the model.
        kind: what it says of itself, `owned_by` in its list of models.
        adapters: names and folders with which it was started; `loads` says whether it loads others.
        failures: requests that it is too busy for.
        ends: tokens that end an answer, beside those that a request names.
        bias: what it makes of `logit_bias`: "heeded", "ignored" or "refused".
        shift: added to its own token ids of a text.
        room: prompt tokens that it reads; the rest is cut off in silence.
    """

    def __init__(
        self, folder: Path, kind: str = "vllm", loads: bool = False, adapters: dict[str, str] | None = None,
        failures: int = 0, ends: tuple[int, ...] = (), bias: str = "heeded", shift: int = 0, room: int = 1000,
    ) -> None:  # fmt: skip
        self.models = [{"id": "tiny", "object": "model", "root": str(folder), "parent": None, "owned_by": kind}]
        for name, path in (adapters or {}).items():
            self.models.append({"id": name, "object": "model", "root": path, "parent": "tiny", "owned_by": kind})
        self.kind, self.loads, self.failures, self.ends, self.bias = kind, loads, failures, set(ends), bias
        self.shift, self.room, self.answers_as = shift, room, None
        self.asked: list[dict[str, Any]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def questions(self) -> list[dict[str, Any]]:
        """Requests that aren't the backend's own probes: those with the most tokens asked for and no bias."""
        longest = max(body["max_tokens"] for body in self.asked)
        return [body for body in self.asked if body["max_tokens"] == longest and "logit_bias" not in body]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/load_lora_adapter"):
            if not self.loads:
                return 404, {"detail": "Not Found"}
            model = {"id": body["lora_name"], "object": "model", "root": body["lora_path"], "parent": "tiny"}
            self.models.append(model)
            return 200, "loaded"
        if path == "/tokenize" and self.kind == "vllm":
            return 200, {"tokens": [int(word) + self.shift for word in body["prompt"].split()]}
        if not path.endswith("/completions"):
            return 404, {"detail": "Not Found"}
        if self.failures > 0:
            self.failures -= 1
            return 503, {"error": {"message": "busy"}}
        self.asked.append(body)
        if "logit_bias" in body and self.bias == "refused":
            return 400, {"error": {"message": "unknown field logit_bias"}}
        return 200, self.completion(body)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, limit = body["prompt"], body["max_tokens"]
        prompt = (
            [int(word) for word in prompt.split()] * (2 if self.shift else 1) if isinstance(prompt, str) else prompt
        )
        ends = (
            self.ends | set(body.get("stop_token_ids", ())) | {int(text) for text in body.get("stop", ())} & self.ends
        )
        ids = answer_to(prompt)
        if self.bias == "heeded" and body.get("logit_bias"):
            ids = [int(token) for token in body["logit_bias"]] * limit
        last = next((n for n, token in enumerate(ids) if token in ends), None)
        reason, ids = ("length", (ids * limit)[:limit]) if last is None else ("stop", ids[: last + 1])
        text = " ".join(str(token) for token in ids if token not in ends)
        choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
        choice |= {"token_ids": ids} if body.get("return_token_ids") else {}
        usage = {"prompt_tokens": min(len(prompt), self.room), "completion_tokens": len(ids), "total_tokens": 0}
        found = {"id": "1", "object": "text_completion", "created": 0, "choices": [choice], "usage": usage}
        return found | {"model": self.answers_as or body["model"]}


def _handler(outer: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/v1/models":
                return self.reply(200, {"object": "list", "data": outer.models})
            return self.reply(404, {"detail": "Not Found"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return self.reply(*outer.post(self.path, body))

        def reply(self, status: int, body) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler
