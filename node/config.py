"""Configuration of one node: `node.toml` in its data folder."""

import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from node.errors import ConfigError

CONFIG_NAME = "node.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings; each has the default that suits a commune.

    Attributes:
        web_host: address the pages listen on; the default serves this machine only.
        web_port: port of the pages, 0 for any free one.
        sync_host: address that children dial; empty on a node without children.
        sync_port: port that children dial, 0 for any free one.
        parent: `host:port` of the tier above; empty at the centre.
        is_remote: the province declared this commune remote, which lengthens some deadlines.
        language: language of the pages before a person chose, `vi` or `en`.
        fetch_attachments: fetch the files that records refer to from children and parent.
        disk_reserve_mib: refuse new attachments when less than this is free.
        is_demo: shows the switch that cuts the link; never for real work.
    """

    web_host: str = "127.0.0.1"
    web_port: int = 8080
    sync_host: str = ""
    sync_port: int = 8443
    parent: str = ""
    is_remote: bool = False
    language: str = "vi"
    fetch_attachments: bool = True
    disk_reserve_mib: int = 64
    is_demo: bool = False


def parse_config(text: str) -> Config:
    """Return the settings in a TOML text.

    Raises:
        ConfigError: not TOML, an unknown key, or a value of the wrong kind.
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
    return Config(**values)


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
            literal = str(value).lower() if isinstance(value, bool | int) else f'"{value}"'
            lines.append(f"{field.name} = {literal}\n")
    (folder / CONFIG_NAME).write_text("".join(lines), encoding="utf-8")
