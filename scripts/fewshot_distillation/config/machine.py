"""Machine settings: what a job is given beside its spec, on which no result depends."""

from pydantic import Field

from .base import Strict
from .catalogue import Server
from .specs import ModelSpec


class Machine(Strict):
    """Settings of one job that no result depends on, passed as one JSON argument.

    Rules pass them as a parameter whose changes Snakemake doesn't look for, so that changing one reruns nothing.
    """

    state: str = Field(".state", description="Folder of unfinished work.")
    gpus: int = Field(0, ge=0, description="GPUs that were requested for the job.")
    accelerate: str | None = Field(None, description="Configuration file of `accelerate launch`.")
    gradient_checkpointing: bool = Field(False, description="Compute layers again in the backward pass.")
    save_state_every: int = Field(20, ge=1, description="Optimizer steps between saved training states.")
    log_gradients_every: int = Field(0, ge=0, description="Optimizer steps between measured gradients; 0 for none.")
    trackers: list[str] = Field([], description="Experiment trackers.")
    server: Server = Field(Server(), description="The server of `evaluation.backend: server`.")
    layers: list[int] = Field([], description="Layers that conditions match, which the fetched model must have.")
    modules: list[str] = Field([], description="Linear modules that get an adapter, which it must have too.")
    asked: list[ModelSpec] = Field([], description="How it will be asked, which its chat template must allow.")


# The settings of a program that a person starts without any.
BY_HAND = Machine()
