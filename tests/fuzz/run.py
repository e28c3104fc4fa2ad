"""Runs the fuzzers: python tests/fuzz/run.py --lib FOLDER --work FOLDER [--seconds N] [TARGET...]

Writes the seeds, starts worker.py for each target, and prints what came of it. Exit status 1 means a finding: its input
is in the work folder.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzz import TARGETS  # noqa: E402

_TIMEOUT_SECONDS = 10
_RSS_MIB = 3072
_MAX_INPUT_BYTES = 64 << 10
_MAX_SEED_BYTES = 48 << 10
_ENVIRONMENT = {
    # A heap object of its own for every Arrow buffer, so that reading past one is seen; worker.py sees to the input itself.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_USER_SIMD_LEVEL": "NONE",
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:malloc_context_size=2:allocator_may_return_null=1:handle_abort=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Result:
    target: str
    executions: int
    seconds: int
    edges: int
    features: int
    inputs: int
    peak_mib: int
    finding: str | None

    def line(self) -> str:
        finding = f"FINDING {self.finding}" if self.finding else "no finding"
        rate = self.executions // max(self.seconds, 1)
        return (
            f"{self.target}: {self.executions} executions in {self.seconds} s ({rate}/s), {self.edges} edges and {self.features} features "
            f"covered by {self.inputs} inputs, peak {self.peak_mib} MiB: {finding}"
        )


def write_seeds(target: str, folder: Path) -> None:
    module = importlib.import_module(f"fuzz.{target}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in module.seeds():
        (folder / name).write_bytes(data[:_MAX_SEED_BYTES])
    tokens = ['"' + "".join(f"\\x{byte:02x}" for byte in token) + '"' for token in module.TOKENS]
    folder.with_suffix(".dict").write_text("".join(f"{token}\n" for token in tokens))


def fuzz(target: str, lib: Path, work: Path, seconds: int) -> Result:
    import atheris

    seeds, corpus, findings, log = (work / kind / target for kind in ("seeds", "corpus", "findings", "log"))
    write_seeds(target, seeds)
    for folder in (corpus, findings, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    environment = os.environ | _ENVIRONMENT
    environment |= {"LD_PRELOAD": str(runtime), "PYTHONPATH": f"{lib}:{HERE.parent}", "REPLAY_FUZZ_LIB": str(lib)}
    flags = [
        f"-max_total_time={seconds}",
        f"-timeout={_TIMEOUT_SECONDS}",
        f"-rss_limit_mb={_RSS_MIB}",
        f"-max_len={_MAX_INPUT_BYTES}",
        f"-dict={seeds.with_suffix('.dict')}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-len_control=0",
        "-reload=0",
    ]
    command = [sys.executable, str(HERE / "worker.py"), target, *flags, str(corpus), str(seeds)]
    begin = time.monotonic()
    with open(log, "wb") as out:
        status = subprocess.run(command, env=environment, stdout=out, stderr=out, check=False).returncode
    return read_log(target, log.read_text("utf-8", "replace"), int(time.monotonic() - begin), status)


def read_log(target: str, text: str, seconds: int, status: int) -> Result:
    stats = {name: int(value) for name, value in re.findall(r"^stat::(\w+):\s+(\d+)$", text, re.MULTILINE)}
    cover = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/", text, re.MULTILINE) or [("0", "0", "0", "0")]
    count, edges, features, inputs = (int(value) for value in cover[-1])
    took = re.search(r"^Done \d+ runs in (\d+) second", text, re.MULTILINE)
    finding = None
    if status:
        cause = re.search(r"^(?:==\d+==\s*ERROR: (.*)|\S*runtime error: .*|\S*(?:Error|Exception|Interrupt)\b.*)$", text, re.MULTILINE)
        where = re.search(r"Test unit written to (.*)$", text, re.MULTILINE)
        finding = f"{(cause[1] or cause[0]).strip() if cause else f'exit status {status}'} [{where[1] if where else 'see the log'}]"
    return Result(
        target,
        stats.get("number_of_executed_units", count),
        int(took[1]) if took else seconds,
        edges,
        features,
        inputs,
        stats.get("peak_rss_mb", 0),
        finding,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the decoders.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default all")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target")
    parser.add_argument("--lib", type=Path, required=True, help="the instrumented build")
    parser.add_argument("--work", type=Path, required=True, help="where inputs, findings and logs go")
    wanted = parser.parse_args()
    unknown = set(wanted.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    found = False
    for target in wanted.targets or TARGETS:
        result = fuzz(target, wanted.lib.resolve(), wanted.work.resolve(), wanted.seconds)
        sys.stdout.write(f"{result.line()}\n")
        sys.stdout.flush()
        found |= result.finding is not None
    sys.exit(int(found))


if __name__ == "__main__":
    main()
