"""The commands `tiepdan device …`: pair this machine with a node on the LAN, and use that."""

import argparse
import asyncio
import sys
from pathlib import Path

from crypto.site import fingerprint
from node.config import Config
from node.entropy import system_entropy
from node.errors import ConfigError
from node.paired_device import Invitation, PairedDevice, pair, read_code, read_link, resolve


def add_device_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `device pair` and `device check` to the command line."""
    device = commands.add_parser("device", help="pair this machine with a node on the LAN")
    kinds = device.add_subparsers(required=True, metavar="COMMAND")

    pairing = kinds.add_parser("pair", help="pair by the QR code's address, or by 8 digits")
    _add_folder(pairing)
    which = pairing.add_mutually_exclusive_group(required=True)
    which.add_argument("--qr", metavar="LINK", help="what the QR code says")
    which.add_argument("--node", metavar="HOST", help="node whose 8 digits are read from the input")
    pairing.add_argument("--port", type=int, default=Config().lan_port, help="of --node")
    pairing.add_argument("--address", help="of the node, where its name is not found")
    pairing.set_defaults(run=_pair)

    check = kinds.add_parser("check", help="prove the key to the node, and say what it may do")
    _add_folder(check)
    check.add_argument("--address", default="", help="of the node, where it has another by now")
    check.set_defaults(run=_check)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, required=True, help="of the device's key")


def _pair(options: argparse.Namespace) -> int:
    if (options.folder / "node.json").exists():
        raise ConfigError(
            "device_exists",
            f"There is a paired device in {options.folder} already.",
            "Use another folder; a key is never overwritten.",
        )
    if options.qr is not None:
        invitation = read_link(options.qr)
    else:
        print("8 digits: ", end="", file=sys.stderr, flush=True)
        invitation = read_code(sys.stdin.readline(), options.node, options.port)
    paired = asyncio.run(_paired(invitation, options.address))
    paired.write(options.folder)
    print(f"Paired: device {paired.device.hex()}.")
    print(f"Site {fingerprint(paired.site).hex()}.")
    return 0


async def _paired(invitation: Invitation, address: str | None) -> PairedDevice:
    found = address or await resolve(invitation.host)
    return await pair(invitation, found, system_entropy, _show)


def _show(digits: str) -> None:
    print(f"Compare with the node: {digits[:3]} {digits[3:]}", flush=True)


def _check(options: argparse.Namespace) -> int:
    device = PairedDevice.read(options.folder)

    async def ask() -> None:
        async with device.client(options.address) as client:
            told = await device.prove(client)
        print(f"{told['name']}: {told['scope']}")

    asyncio.run(ask())
    return 0
