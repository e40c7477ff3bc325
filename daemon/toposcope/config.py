"""config.yaml as frozen values: strictly validated, every error one sentence with the key's path.

The reference of keys, units, defaults and limits is the config.yaml at the project's root; a test keeps
the two in step.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import msgspec.inspect
import yaml

import toposcope_probes
from toposcope.errors import ConfigError

_FILE_BYTES_MAX: Final = 1 << 20

_Interval = Annotated[float, msgspec.Meta(ge=1, le=31_536_000)]


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how the daemon serves."""

    listen_address: str = "127.0.0.1:9847"
    allowed_hosts: tuple[str, ...] = ()
    enable_lifecycle: bool = False
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    config_file: str | None = None


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where results are kept, and for how long."""

    directory: str | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1 << 20, le=100 << 30)] = 256 << 20
    raw_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 14
    daily_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] = 400


class ProbeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One probe's settings; None means the probe's own default."""

    enabled: bool | None = None
    interval_s: _Interval | None = None
    max_age_s: _Interval | None = None


class ProbeLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all probes together may take, and where they may run."""

    enabled: bool = True
    budget_ratio: Annotated[float, msgspec.Meta(ge=0.0001, le=1)] = 0.01
    saturation_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.001
    isolated_cpus: bool = False
    cpus: str | None = None


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Python interpreters to measure."""

    interpreters: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measuring the report without being asked."""

    interval_s: Annotated[float, msgspec.Meta(ge=3600, le=31_536_000)] | None = None


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Looking at the placement of other processes; off, since it needs to see them."""

    enabled: bool = False
    interval_s: Annotated[float, msgspec.Meta(ge=10, le=86_400)] = 300
    processes_max: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(msgspec.Struct, frozen=True):
    """The whole configuration. `probe_settings` holds what stands below a probe's own name."""

    web: Web = Web()
    store: Store = Store()
    probes: ProbeLimits = ProbeLimits()
    probe_settings: Mapping[str, ProbeSettings] = msgspec.field(default_factory=dict)
    runtime: Runtime = Runtime()
    report: Report = Report()
    audit: Audit = Audit()
    log: Log = Log()

    def settings_of(self, probe: str) -> ProbeSettings:
        """The settings below `probes.<probe>`, or the empty ones."""
        return self.probe_settings.get(probe, ProbeSettings())


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML 1.1's safe subset; a key that stands twice is an error instead of a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Config:
    """Read and validate a file. Raises ConfigError: which file, which key, what is allowed.

    A relative `web.config_file` is one beside the file that names it.
    """
    settings = parse(read(path), str(path))
    if settings.web.config_file is None:
        return settings
    beside = str(path.absolute().parent / settings.web.config_file)
    return msgspec.structs.replace(settings, web=msgspec.structs.replace(settings.web, config_file=beside))


def read(path: Path) -> bytes:
    """The bytes of a configuration file. Raises ConfigError where it can't be read or is far too large."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    return content


def parse(content: bytes, name: str) -> Config:
    """Validate the text of a configuration; `name` stands in front of every complaint.

    Raises ConfigError with one sentence; never anything else, whatever the bytes are.
    """
    document = parse_document(content, name)
    try:
        return _build(document)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}", error.hint) from None


def parse_document(content: bytes, name: str) -> dict[Any, Any]:
    """The mapping that a YAML file holds; an empty file is an empty one. Raises ConfigError."""
    try:
        document = yaml.load(content, _UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}:{where} is not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ConfigError(f"{name}: is not valid YAML: {str(error).splitlines()[0]}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError(f"{name}: has to hold keys and values, not a {_yaml_type(document)}")
    return document


def _build(document: dict[Any, Any]) -> Config:
    sections: dict[str, type[msgspec.Struct]] = {
        "web": Web, "store": Store, "runtime": Runtime, "report": Report, "audit": Audit, "log": Log,
    }  # fmt: skip
    refuse_unknown(document, (*sections, "probes"), "")
    values: dict[str, Any] = {
        name: convert(section(document, name), kind, name) for name, kind in sections.items()
    }
    probes = section(document, "probes")
    limits = {key: value for key, value in probes.items() if key in ProbeLimits.__struct_fields__}
    names = tuple(spec.name for spec in toposcope_probes.load_all())
    refuse_unknown(probes, (*ProbeLimits.__struct_fields__, *names), "probes.")
    config = Config(
        **values,
        probes=convert(limits, ProbeLimits, "probes"),
        probe_settings={
            name: convert(section(probes, name, "probes."), ProbeSettings, f"probes.{name}")
            for name in names
            if name in probes
        },
    )
    split_address(config.web.listen_address)
    return config


def section(document: dict[Any, Any], name: str, prefix: str = "") -> dict[Any, Any]:
    """The mapping below a key; a key without anything below it is an empty one."""
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{prefix}{name}: has to hold keys and values, not {shown(value)}")
    return value


_Kind = TypeVar("_Kind", bound=msgspec.Struct)


def convert(value: dict[Any, Any], kind: type[_Kind], path: str) -> _Kind:
    """A section as its struct. Raises ConfigError: which key below `path`, and what is allowed there."""
    refuse_unknown(value, kind.__struct_fields__, path + ".")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), value, kind, path)) from None


def _explain(complaint: str, value: dict[Any, Any], kind: type[msgspec.Struct], path: str) -> str:
    """One sentence for msgspec's complaint, which ends in "- at `$.key[index]`"."""
    where = complaint.rpartition(" - at `$.")[2].rstrip("`")
    key, index = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", where).groups()  # type: ignore[union-attr]
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    allowed = next(field.type for field in info.fields if field.name == key)
    found = value[key]
    if index is not None:
        found = found[int(index)]
    return f"{path}.{where}: {shown(found)} is not allowed, only {_describe(allowed)}"


def _describe(allowed: msgspec.inspect.Type) -> str:
    inspect = msgspec.inspect
    match allowed:
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType(values=values):
            return ", ".join(str(value) for value in values)
        case inspect.VarTupleType(item_type=item):
            return f"a list whose items are {_describe(item)}"
        case inspect.UnionType(types=types):
            return " or ".join(_describe(each) for each in types)
    return "text"


def refuse_unknown(value: dict[Any, Any], known: tuple[str, ...], prefix: str) -> None:
    """Raises ConfigError for the first key that is not a known one, with the nearest that is."""
    import difflib

    for key in value:
        if key in known:
            continue
        close = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {prefix}{close[0]}?" if close else f"allowed: {', '.join(sorted(known))}"
        name = str(key)[:60]
        raise ConfigError(f"{prefix}{name if name.isprintable() else shown(name)}: is not a known key", hint)


def _yaml_type(value: object) -> str:
    names = {list: "list", str: "text", int: "number", float: "number", bool: "true/false"}
    return names.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value as it stands in a complaint: not longer than a line takes."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPv6]:PORT` to (host, port). Raises ConfigError; port 0 means any free one."""
    host, separator, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(
            f"web.listen_address: {shown(address)} is not HOST:PORT with a port from 0 to 65535",
            "for example 127.0.0.1:9847 or [::1]:9847",
        )
    return host, int(port)


def store_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Where results are kept: configured, else systemd's state directory, else the XDG one."""
    if config.store.directory:
        return Path(config.store.directory).expanduser()
    if state := environment.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if home := environment.get("XDG_STATE_HOME"):
        return Path(home) / "toposcope"
    return Path(environment.get("HOME", "/var/lib")) / ".local/state/toposcope"
