"""A throw-away Slurm of one node on loopback, with four pretend A100s.

python tests/cluster/slurm.py start FOLDER    prints what to put into the environment
python tests/cluster/slurm.py stop FOLDER
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
GPUS, CPUS, MEMORY_MB = 4, 64, 1_000_000

# A machine with two cores may pretend to have many (config_overrides). Processes are watched without cgroups, so that
# this runs in a container. Urgent jobs push others back into the queue.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/d
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
DefMemPerCPU=500
ReturnToService=2
InactiveLimit=0
KillWait=2
OverTimeLimit=0
MinJobAge=900
SlurmctldTimeout=30
SlurmdTimeout=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} \
ThreadsPerCore=1 RealMemory={memory} Gres=gpu:a100:{gpus} State=UNKNOWN
PartitionName=cpu Nodes=node1 Default=YES MaxTime=1-0 PriorityTier=10 State=UP
PartitionName=gpu Nodes=node1 MaxTime=1-0 PriorityTier=10 State=UP
PartitionName=urgent Nodes=node1 MaxTime=1-0 PriorityTier=20 PreemptMode=OFF State=UP
"""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:{SBIN}") is None]


class Slurm:
    """The cluster whose configuration, state and logs lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        path = f"{self.folder}/bin:{os.environ['PATH']}:{SBIN}"
        self.environment = {"SLURM_CONF": str(self.folder / "etc/slurm.conf"), "PATH": path}

    def start(self) -> None:
        self._configure()
        munge = self.folder / "munge"
        self._daemon(
            "munged", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key", f"--seed-file={munge}/seed",
            f"--log-file={self.folder}/log/munged.log", f"--pid-file={self.folder}/run/munged.pid",
        )  # fmt: skip
        self.start_slurmctld()
        self.start_slurmd()

    def start_slurmctld(self) -> None:
        self._daemon("slurmctld")
        wait_until(lambda: self.run("scontrol", "ping", check=False).startswith("Slurmctld(primary) at"), "slurmctld")

    def start_slurmd(self) -> None:
        self._daemon("slurmd", "-N", "node1")
        wait_until(lambda: self.run("sinfo", "-h", "-o", "%T", check=False).strip() in ("idle", "mixed"), "the node")

    def stop(self) -> None:
        if self._pid("slurmctld"):
            self.run("scancel", "--user", getpass.getuser(), check=False)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not self.run("squeue", "-h", check=False).strip(), "the end of the jobs", 15)
        for name in ("slurmd", "slurmctld", "munged"):
            self.kill(name, signal.SIGTERM)

    def kill(self, name: str, sign: int = signal.SIGKILL) -> None:
        """End a daemon and wait until it is gone."""
        if pid := self._pid(name):
            os.kill(pid, sign)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not self._pid(name), f"the end of {name}", 15)
            if pid := self._pid(name):
                os.kill(pid, signal.SIGKILL)

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """Slurm's records of all jobs, as `scontrol show job` writes them, with the rule's name added."""
        records = []
        for line in self.run("scontrol", "-d", "-o", "show", "job", check=False).splitlines():
            pairs = (word.partition("=") for word in line.split(" ") if "=" in word)
            record = {key: value for key, _, value in pairs}
            if "JobId" in record:
                comment = record.get("Comment", "").removeprefix("rule_")
                records.append(record | {"rule": comment.partition("_wildcards_")[0]})
        return records

    def _configure(self) -> None:
        for name in ("etc", "run", "log", "ctld", "d", "dev", "bin", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "munge").chmod(0o711)
        key = self.folder / "munge/key"
        if not key.exists():
            key.write_bytes(os.urandom(128))
            key.chmod(0o400)
        for number in range(GPUS):  # Slurm hands out numbers of GPUs only for device files
            device = self.folder / f"dev/gpu{number}"
            if not device.is_symlink():
                device.symlink_to("/dev/null")
        ctld_port, d_port = free_ports(2)
        host = socket.gethostname().partition(".")[0]
        values = {"folder": self.folder, "host": host, "user": getpass.getuser(), "ctld_port": ctld_port}
        values |= {"d_port": d_port, "cpus": CPUS, "memory": MEMORY_MB, "gpus": GPUS}
        (self.folder / "etc/slurm.conf").write_text(CONFIGURATION.format(**values))
        gres = f"AutoDetect=off\nNodeName=node1 Name=gpu Type=a100 File={self.folder}/dev/gpu[0-{GPUS - 1}]\n"
        (self.folder / "etc/gres.conf").write_text(gres)
        # The plugin takes SLURM_CONF away from its inner srun, which then looks where a cluster keeps it.
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/etc/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _daemon(self, name: str, *arguments: str) -> None:
        self.run(name, *arguments)
        wait_until(lambda: self._pid(name), name)

    def _pid(self, name: str) -> int | None:
        """Process number of a daemon of this cluster that runs."""
        try:
            pid = int((self.folder / f"run/{name}.pid").read_text())
            state = Path(f"/proc/{pid}/stat").read_text()
        except (OSError, ValueError):
            return None
        return pid if f"({name})" in state and ") Z " not in state else None


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds:.0f} s"
        time.sleep(0.1)


def main() -> None:
    match sys.argv[1:]:
        case ["start", folder]:
            cluster = Slurm(Path(folder))
            cluster.start()
            for name, value in cluster.environment.items():
                print(f"export {name}='{value}'")
        case ["stop", folder]:
            Slurm(Path(folder)).stop()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
