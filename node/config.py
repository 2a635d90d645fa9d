"""Configuration of one node: `node.toml` in its data folder."""

import json
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from node.errors import ConfigError
from sync.hours import parse_hours

CONFIG_NAME = "node.toml"
_PORT_MAX = 65_535
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+):([0-9]{1,5})")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings; each has the default that suits a commune.

    Attributes:
        web_host: loopback address the pages listen on, for this machine only.
        web_port: port of the pages, 0 for any free one.
        lan_host: address on the LAN that the pages listen on over HTTPS, `0.0.0.0` for all; empty:
            the pages serve this machine only, and devices are not paired.
        lan_port: port of these, 0 for any free one.
        lan_name: the node's name on the LAN, which browsers reach as `NAME.local`; empty: made of
            the place code.
        lan_needs_pairing: people sign in from the LAN only at devices that were paired.
        lan_discovery: announce this node on the LAN by mDNS, and look for others and for printers,
            scanners and cameras.
        sync_host: address that children dial; empty on a node without children.
        sync_port: port that children dial, 0 for any free one.
        sync_address: `host:port` at which children reach this node, for the tokens that it makes.
        parent: `host:port` of the tier above; empty at the centre.
        datagrams: take UDP where TCP loses too much, upwards and for children.
        is_remote: the province declared this commune remote, which lengthens some deadlines.
        language: language of the pages before a person chose, `vi` or `en`.
        fetch_attachments: fetch the files that records refer to from children and parent.
        bulk_hours: when files travel over this node's links, as `20:00-06:00` of the place's time;
            empty: at any time.
        disk_reserve_mib: with less free, no attachment and no record of another node is taken.
        office_key: file of the key that opens sealed values, best on another disk than the
            database; empty: `office.key` in the data folder.
        is_demo: shows the switch that cuts the link; never for real work.
    """

    web_host: str = "127.0.0.1"
    web_port: int = 8080
    lan_host: str = ""
    lan_port: int = 8444
    lan_name: str = ""
    lan_needs_pairing: bool = True
    lan_discovery: bool = True
    sync_host: str = ""
    sync_port: int = 8443
    sync_address: str = ""
    parent: str = ""
    datagrams: bool = True
    is_remote: bool = False
    language: str = "vi"
    fetch_attachments: bool = True
    bulk_hours: str = ""
    disk_reserve_mib: int = 64
    office_key: str = ""
    is_demo: bool = False


def parse_config(text: str) -> Config:
    """Return the settings in a TOML text.

    Raises:
        ConfigError: not TOML, an unknown key, or a value that cannot be.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("config_malformed", f"{CONFIG_NAME} is not TOML: {error}") from error
    known = {field.name: field for field in fields(Config)}
    for key, value in values.items():
        if key not in known:
            hint = f"Known settings: {', '.join(sorted(known))}."
            raise ConfigError("config_unknown_key", f"{CONFIG_NAME}: unknown setting {key!r}", hint)
        default = known[key].default
        assert default is not MISSING
        if type(value) is not type(default):
            wanted = type(default).__name__
            raise ConfigError("config_wrong_type", f"{CONFIG_NAME}: {key} must be {wanted}")
    config = Config(**values)
    _check(config)
    return config


def _check(config: Config) -> None:
    for key in ("web_port", "lan_port", "sync_port"):
        port = getattr(config, key)
        if not 0 <= port <= _PORT_MAX:
            raise _unfit(key, f"is a number from 0 to {_PORT_MAX}")
    _check_lan(config)
    for key, named in (("parent", config.parent), ("sync_address", config.sync_address)):
        address = _ADDRESS.fullmatch(named)
        if named and (address is None or not 0 < int(address[2]) <= _PORT_MAX):
            raise _unfit(key, 'is an address and a port, such as "10.0.0.1:8443"')
    if config.language not in ("vi", "en"):
        raise _unfit("language", 'is "vi" or "en"')
    try:
        parse_hours(config.bulk_hours, 0)
    except ValueError as error:
        raise _unfit("bulk_hours", 'is two times of day, such as "20:00-06:00"') from error
    if config.disk_reserve_mib < 0:
        raise _unfit("disk_reserve_mib", "is not below 0")


def _check_lan(config: Config) -> None:
    if not _is_loopback(config.web_host):
        raise _unfit("web_host", "is an address of this machine alone; lan_host serves the LAN")
    if config.lan_host and not _is_address(config.lan_host):
        raise _unfit("lan_host", 'is an address of this machine, or "0.0.0.0"')
    if config.lan_name and not _LABEL.fullmatch(config.lan_name):
        raise _unfit("lan_name", "is 1 to 63 small letters, digits and dashes, without .local")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _unfit(key: str, wanted: str) -> ConfigError:
    return ConfigError("config_wrong_value", f"{CONFIG_NAME}: {key} {wanted}")


def read_config(folder: Path) -> Config:
    """Return the settings of a data folder; without a file they are the defaults.

    Raises:
        ConfigError: the file cannot be read or used.
    """
    try:
        return parse_config((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config_unreadable", f"{CONFIG_NAME} cannot be read: {error}") from error


def write_config(folder: Path, config: Config) -> None:
    """Write the settings that differ from the defaults."""
    lines = []
    for field in fields(Config):
        value = getattr(config, field.name)
        if value != field.default:
            # The escapes of JSON are those of TOML.
            literal = json.dumps(value, ensure_ascii=False)
            lines.append(f"{field.name} = {literal}\n")
    (folder / CONFIG_NAME).write_text("".join(lines), encoding="utf-8")
