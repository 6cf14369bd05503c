"""`meshloom.yaml`: which local program stands for which container image, and where the gateway listens.

config: config               folder of YAML, relative to this file (default: the file's own folder)
images:
  "shop/orders:*":           image, with * and ? as in a shell; the first match counts
    command: ["{python}", "{dir}/orders.py"]
    env: {COLOR: blue}
    ready: /healthz          path that answers 200 once it serves; without it, an accepted connection
gateway:
  labels: {istio: ingressgateway}
  ports: {80: 8080}          Gateway port: local port (0: any free one)
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import yaml
from meshloom.cli.errors import CliError, Exit

NAME = "meshloom.yaml"


class ImageFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `images`, as written."""

    command: list[str]
    env: dict[str, str] = {}
    ready: str = ""


class GatewayFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: dict[str, str] = msgspec.field(default_factory=lambda: {"istio": "ingressgateway"})
    ports: dict[int, int] = msgspec.field(default_factory=lambda: {80: 0})
    namespace: str = "istio-system"
    service_account: str = msgspec.field(name="serviceAccount", default="istio-ingressgateway")


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file, as written."""

    config: str = "."
    images: dict[str, ImageFile] = {}
    gateway: GatewayFile | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """How to run one container image here."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    ready_path: str


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What a directory says about running it on this machine."""

    folder: Path
    config: Path
    programs: tuple[tuple[str, Program], ...] = ()
    gateway: GatewayFile | None = None

    @classmethod
    def load(cls, folder: Path) -> "LocalSettings":
        """Reads DIR/meshloom.yaml; a directory without one is configuration alone."""
        path = folder / NAME
        if not folder.is_dir():
            raise CliError(f"{folder}: no such directory", Exit.USAGE)
        if not path.exists():
            return cls(folder, folder)
        return cls.parse(path)

    @classmethod
    def parse(cls, path: Path) -> "LocalSettings":
        """Raises CliError naming the file, the field and what would be right."""
        try:
            raw = msgspec.convert(yaml.safe_load(path.read_text()) or {}, SettingsFile, strict=False)
        except OSError as error:
            raise CliError(f"{path}: {error.strerror}", Exit.USAGE) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise CliError(
                f"{path}{line}: not YAML: {getattr(error, 'problem', error)}", Exit.REFUSED
            ) from error
        except msgspec.ValidationError as error:
            raise CliError(f"{path}: {error}", Exit.REFUSED, "the fields: config, images, gateway") from error
        folder = path.parent.absolute()
        if not (config := folder / raw.config).is_dir():
            raise CliError(f"{path}: config: {config} is no directory", Exit.REFUSED)
        programs = tuple((pattern, _program(image, folder)) for pattern, image in raw.images.items())
        return cls(folder, config, programs, raw.gateway)

    def program(self, image: str) -> Program | None:
        """The program that stands for `image`, if any."""
        return next((program for pattern, program in self.programs if fnmatchcase(image, pattern)), None)


def _program(image: ImageFile, folder: Path) -> Program:
    def filled(text: str) -> str:
        return text.replace("{python}", sys.executable).replace("{dir}", str(folder))

    env = {name: filled(value) for name, value in image.env.items()}
    return Program(tuple(filled(word) for word in image.command), env, folder, image.ready)


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One workload to run here: what a Deployment says of its pods, and the program behind the image."""

    namespace: str
    owner: str
    labels: Mapping[str, str]
    service_account: str
    program: Program
    ports: tuple[int, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
