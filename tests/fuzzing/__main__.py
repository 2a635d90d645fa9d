"""Fuzzes decoders, guided by coverage: `scripts/fuzz [TARGET ...] [--seconds N]`."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzzing.samples import samples
from tests.fuzzing.targets import TARGETS


def main() -> int:
    """Fuzz the targets that the command line names; 1 if one failed in another way than it may."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)} (all)"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    options = parser.parse_args()
    if unknown := sorted(set(options.targets) - TARGETS.keys()):
        parser.error(f"there is no target {unknown[0]!r}")
    failed = [name for name in options.targets or TARGETS if not _fuzz_apart(name, options.seconds)]
    print(f"failed: {', '.join(failed)}" if failed else "every decoder kept to its own error")
    return bool(failed)


def _fuzz_apart(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own, which libFuzzer ends; return whether it held."""
    print(f"{name}: {seconds} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(samples().get(name, ())):
            (corpus / str(number)).write_bytes(data)
        found = Path(folder) / "found-"
        command = [sys.executable, "-P", "-m", "tests.fuzzing.one", name, str(corpus)]
        ended = subprocess.run(
            [*command, f"-max_total_time={seconds}", f"-artifact_prefix={found}", "-max_len=20000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        lines = ended.stdout.splitlines()
        if ended.returncode == 0:
            print("  " + (lines[-1] if lines else ""))
            return True
        print("\n".join(f"  {line}" for line in lines[-40:]))
        for artifact in Path(folder).glob("found-*"):
            print(f"  bytes in hex: {artifact.read_bytes().hex()}")
    return False


if __name__ == "__main__":
    sys.exit(main())
