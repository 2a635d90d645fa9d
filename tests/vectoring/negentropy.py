"""Makes tests/vectors/negentropy.json: `python -m tests.vectoring.negentropy CHECKOUT`.

CHECKOUT is a git work tree of github.com/hoytech/negentropy. Its JavaScript is run with `node` on
both sides of each scenario; what is kept is our own scenarios and the bytes of the messages.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

_TARGET: Final = Path(__file__).parents[2] / "tests" / "vectors" / "negentropy.json"
_NOTE: Final = (
    "Messages of js/Negentropy.js of github.com/hoytech/negentropy, protocol version 1, at the "
    "commit named here, run on our own scenarios by tests/vectoring/negentropy.py. Item n, from 0 "
    "to count - 1, has the timestamp first + n // same_time; its id is the SHA-256 of the text "
    "negentropy/SEED/n, the first `shared` bytes set to zero. With a and b the numbers in bytes 24 "
    "to 27 and 28 to 31 of that SHA-256, highest first, and e = count - n: the initiator lacks "
    "the item if e <= tail[1] or a % 1000 < missing[0], the responder if tail[1] < e <= tail[1] + "
    "tail[0] or b % 1000 < missing[1]. Frames: limits in bytes of the initiator and the responder, "
    "0 for none. Messages in hex, those of the initiator and the responder in turn; have and need "
    "as the initiator reports them, how many and the SHA-256 of them all, in that order. Answers: "
    "one message to the responder of the first scenario, without a limit, and what it says."
)
# Reads scenarios from stdin. The implementation is loaded from where the first argument says.
_HARNESS: Final = """
const { Negentropy, NegentropyStorageVector } = require(process.argv[2]);
const side = (items, frame) => {
  const storage = new NegentropyStorageVector();
  for (const [timestamp, id] of items) storage.insert(timestamp, id);
  storage.seal();
  return new Negentropy(storage, frame);
};
const play = async ({ initiator, responder, frames }) => {
  const one = side(initiator, frames[0]), other = side(responder, frames[1]);
  const messages = [await one.initiate()], have = [], need = [];
  while (true) {
    const [answer] = await other.reconcile(messages[messages.length - 1]);
    const [next, had, needed] = await one.reconcile(answer);
    messages.push(answer);
    have.push(...had);
    need.push(...needed);
    if (next === null) return { messages, have, need };
    messages.push(next);
  }
};
const main = async () => {
  const work = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const played = [], answers = [];
  for (const scenario of work.scenarios) played.push(await play(scenario));
  for (const message of work.questions) {
    answers.push((await side(work.scenarios[0].responder, 0).reconcile(message))[0]);
  }
  process.stdout.write(JSON.stringify({ played, answers }));
};
main();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Two sets, as a few numbers.

    Attributes:
        seed: goes into every id.
        count: items there are in all.
        first: the lowest timestamp; the implementation in JavaScript takes those below 2^31.
        same_time: items in a row that share a timestamp.
        shared: bytes at the start of every id that are zero, so that bounds need long prefixes.
        missing: items of a thousand, here and there, that the initiator and the responder lack.
        tail: items at the end that only the initiator and, behind those, only the responder has.
        frames: limits in bytes of the initiator and the responder, 0 for none.
    """

    seed: int
    count: int
    first: int = 1_700_000_000
    same_time: int = 1
    shared: int = 0
    missing: tuple[int, int] = (0, 0)
    tail: tuple[int, int] = (0, 0)
    frames: tuple[int, int] = (0, 0)


class Sets(NamedTuple):
    """(timestamp, id) of the items of each side."""

    initiator: list[tuple[int, bytes]]
    responder: list[tuple[int, bytes]]


SCENARIOS: Final = (
    Scenario(seed=1, count=20, missing=(100, 100)),
    Scenario(seed=2, count=0),
    Scenario(seed=3, count=1, missing=(1000, 0)),
    Scenario(seed=4, count=31, missing=(0, 1000)),
    Scenario(seed=5, count=32, missing=(0, 1000)),
    Scenario(seed=6, count=32),
    Scenario(seed=7, count=200, missing=(1000, 0)),
    Scenario(seed=8, count=500, missing=(0, 1000)),
    Scenario(seed=9, count=700, tail=(0, 7)),
    Scenario(seed=10, count=700, tail=(7, 0)),
    Scenario(seed=11, count=700, tail=(5, 40)),
    Scenario(seed=12, count=700, missing=(5, 5)),
    Scenario(seed=13, count=600, same_time=9, missing=(5, 5)),
    Scenario(seed=14, count=600, same_time=1000, missing=(5, 5)),
    Scenario(seed=15, count=400, same_time=400, shared=29, missing=(5, 5)),
    Scenario(seed=16, count=400, first=0, same_time=3, missing=(20, 0)),
    Scenario(seed=17, count=400, first=2_000_000_000, missing=(0, 20)),
    Scenario(seed=18, count=900, missing=(0, 1000), frames=(0, 4096)),
    Scenario(seed=19, count=900, missing=(1000, 0), frames=(4096, 4096)),
    Scenario(seed=20, count=900, missing=(30, 30), frames=(4096, 4096)),
    Scenario(seed=21, count=900, same_time=7, missing=(30, 10), frames=(4096, 0)),
    Scenario(seed=22, count=900, same_time=50, missing=(5, 30), frames=(0, 5000)),
    Scenario(seed=23, count=900, same_time=900, missing=(5, 5), tail=(70, 70), frames=(4096, 4096)),
)
QUESTIONS: Final = (
    "61",  # nothing is asked
    "62aabbccddeeff",  # a version to come
    "60",  # and one that has been
    "6100000200",  # an empty list: all ids, please
    "61000000",  # no question about all there is
    "610000010123456789abcdef0123456789abcdef",  # another fingerprint for all there is
    "610000020000000200000000",  # ranges behind the end
)


def build(scenario: Scenario) -> Sets:
    """Return the two sets: item n has the id SHA-256("negentropy/SEED/n")."""
    sets = Sets([], [])
    ours, theirs = scenario.tail
    for number in range(scenario.count):
        digest = hashlib.sha256(f"negentropy/{scenario.seed}/{number}".encode()).digest()
        identity = bytes(scenario.shared) + digest[scenario.shared :]
        item = (scenario.first + number // scenario.same_time, identity)
        # The last bytes of an id decide who lacks it, once for each side.
        draws = [int.from_bytes(digest[at : at + 4], "big") % 1000 for at in (24, 28)]
        from_end = scenario.count - number
        if from_end > theirs and draws[0] >= scenario.missing[0]:
            sets.initiator.append(item)
        if not theirs < from_end <= theirs + ours and draws[1] >= scenario.missing[1]:
            sets.responder.append(item)
    return sets


def digest_of(ids: Sequence[str]) -> str:
    """Return the SHA-256 of ids in hex, one behind the other."""
    return hashlib.sha256(bytes.fromhex("".join(ids))).hexdigest()


def run_reference(
    checkout: Path, sets: Sequence[tuple[Sets, Scenario]], questions: Sequence[str]
) -> Any:
    """Return what the implementation in the checkout says and finds."""
    work = {
        "scenarios": [
            {
                **{
                    side: [(at, key.hex()) for at, key in getattr(pair, side)]
                    for side in Sets._fields
                },
                "frames": scenario.frames,
            }
            for pair, scenario in sets
        ],
        "questions": questions,
    }
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder, "harness.js")
        harness.write_text(_HARNESS, encoding="utf-8")
        module = checkout.resolve() / "js" / "Negentropy.js"
        done = subprocess.run(
            ["node", str(harness), str(module)],
            input=json.dumps(work).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all scenarios and write the file."""
    parser = argparse.ArgumentParser(prog="tests.vectoring.negentropy", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a work tree of the implementation")
    checkout = parser.parse_args(arguments).checkout
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    results = run_reference(checkout, [(build(one), one) for one in SCENARIOS], QUESTIONS)
    vectors = [
        {
            **asdict(scenario),
            "have": [len(played["have"]), digest_of(played["have"])],
            "need": [len(played["need"]), digest_of(played["need"])],
            "messages": played["messages"],
        }
        for scenario, played in zip(SCENARIOS, results["played"], strict=True)
    ]
    answers = [list(pair) for pair in zip(QUESTIONS, results["answers"], strict=True)]
    content = {"note": _NOTE, "commit": commit, "scenarios": vectors, "answers": answers}
    _TARGET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{len(vectors)} scenarios, {_TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
