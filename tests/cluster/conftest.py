"""A Slurm of four pretend A100s for the session, and a tiny study that one machine and the cluster have run."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parent / "workflow"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

from project import Project  # noqa: E402
from slurm import GPUS, Slurm, missing_programs  # noqa: E402
from study import ClusterProject, cluster_config  # noqa: E402


def reason_to_skip() -> str | None:
    if missing := missing_programs():
        return f"Slurm is not installed here ({', '.join(missing)}); make test-slurm installs it"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed here; make test-slurm installs it"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = reason_to_skip()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def variables_for(cluster: Slurm) -> Iterator[None]:
    """Jobs get the driver's environment. The pretend cluster has many more CPUs than the machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (cluster.environment | {"OMP_THREAD_LIMIT": "1"}).items():
            patch.setenv(name, value)
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        yield


@pytest.fixture(autouse=True)
def variables(slurm: Slurm) -> Iterator[None]:
    with variables_for(slurm):
        yield


@pytest.fixture(scope="session")
def undisturbed(made_once, study: Project) -> Project:
    """The whole study, done without the cluster; but for the long run, it is the one that other tests share."""
    config = cluster_config(study.config["models"]["tiny"]["source"]["files"])

    def fill(folder: Path) -> None:
        runs = ("runs/tiny/sft", "runs/tiny/logit_kl", "runs/tiny/layerwise/lambda0.1")
        Project(folder, config).take(study, "models", "data", "icl_gap", "teachers", "baselines", *runs).run("all")

    return Project(made_once("undisturbed on the cluster", fill), config)


@pytest.fixture(scope="session")
def on_cluster(tmp_path_factory: pytest.TempPathFactory, undisturbed: Project, slurm: Slurm) -> ClusterProject:
    """The whole study on the cluster, begun over half a file in the place of every output that it declares."""
    project = ClusterProject(tmp_path_factory.mktemp("on_cluster"), undisturbed.config, slurm)
    project.tear(undisturbed.declared("metadata"))
    with variables_for(slurm):
        project.run("all")
    return project


@pytest.fixture
def project(tmp_path: Path, undisturbed: Project, slurm: Slurm) -> Iterator[ClusterProject]:
    """The same study, not yet begun, and nothing else on the cluster."""
    project = ClusterProject(tmp_path / "study", undisturbed.config, slurm)
    yield project
    project.clear()


@pytest.fixture
def prepared(project: ClusterProject, undisturbed: Project) -> ClusterProject:
    """Everything that the long run needs is there."""
    return project.take(undisturbed, "models", "data", "baselines", "icl_gap", "teachers")


@pytest.fixture
def busy(slurm: Slurm) -> Iterator[str]:
    """Somebody else's job has all GPUs; its number."""
    number = slurm.run(
        "sbatch", "--parsable", "-p", "gpu", f"--gpus=a100:{GPUS}", "-o", "/dev/null", "--wrap", "sleep 3600"
    )
    yield number.strip()
    slurm.run("scancel", number.strip(), check=False)
