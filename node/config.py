"""Configuration of one node: `node.toml` in its data folder."""

import json
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from node.errors import ConfigError
from sync.hours import parse_hours

CONFIG_NAME = "node.toml"
_PORT_MAX = 65_535
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings; each has the default that suits a commune.

    Attributes:
        web_host: address the pages listen on; the default serves this machine only.
        web_port: port of the pages, 0 for any free one.
        sync_host: address that children dial; empty on a node without children.
        sync_port: port that children dial, 0 for any free one.
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
    sync_host: str = ""
    sync_port: int = 8443
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
    for key, port in (("web_port", config.web_port), ("sync_port", config.sync_port)):
        if not 0 <= port <= _PORT_MAX:
            raise _unfit(key, f"is a number from 0 to {_PORT_MAX}")
    address = _ADDRESS.fullmatch(config.parent)
    if config.parent and (address is None or not 0 < int(address[2]) <= _PORT_MAX):
        raise _unfit("parent", 'is an address and a port, such as "10.0.0.1:8443"')
    if config.language not in ("vi", "en"):
        raise _unfit("language", 'is "vi" or "en"')
    try:
        parse_hours(config.bulk_hours, 0)
    except ValueError as error:
        raise _unfit("bulk_hours", 'is two times of day, such as "20:00-06:00"') from error
    if config.disk_reserve_mib < 0:
        raise _unfit("disk_reserve_mib", "is not below 0")


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
