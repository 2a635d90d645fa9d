"""Fuzzes one decoder in this process; arguments: target, corpus, options of libFuzzer."""

import sys

# Before anything that is to be watched: a module that was imported already counts no branches.
import atheris

with atheris.instrument_imports(include=["crypto", "node", "schemas", "sync"]):
    from tests.fuzzing.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name].must_survive)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
