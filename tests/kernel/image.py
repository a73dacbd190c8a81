"""Makes the guest's first file system: a Debian root, modules of its kernel, Python packages, the project.

Everything goes from archive to archive, so that owners and device nodes need no privilege to be kept.
"""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MODULES = (
    *("drivers/usb/common/usb-common", "drivers/usb/core/usbcore", "drivers/usb/usbip/usbip-core"),
    *("drivers/usb/usbip/vhci-hcd", "drivers/usb/class/cdc-acm", "drivers/net/ethernet/intel/e1000/e1000"),
)
LEFT_OUT = ("usr/share/doc/", "usr/share/locale/", "usr/share/man/", "var/cache/", "var/lib/apt/", "boot/")


KERNEL = "kernel.deb"


class Cpio:
    """Writes an archive that the kernel unpacks into its first root."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._number = 0

    def add(self, name: str, mode: int, data: bytes = b"", *, device: tuple[int, int] = (0, 0)) -> None:
        """Add a file, folder, link or node; parents come first."""
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._out.write(_padded(head + encoded) + _padded(data))

    def close(self) -> None:
        """End the archive."""
        self.add("TRAILER!!!", 0)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def write_image(out: BinaryIO, fetched: Path, project: Path, guest: Path) -> None:
    """Write the whole first file system."""
    archive = Cpio(out)
    _add_root(archive, fetched / "root.tar")
    _add_modules(archive, fetched / KERNEL)
    folders: set[str] = set()
    for target, source, patterns in (
        ("opt/site", fetched / "site", ("*",)),
        ("opt/neurostim/neurostim", project / "src" / "neurostim", ("*.py", "*.toml", "py.typed")),
        ("opt/neurostim/neurostim/_protocols", project / "protocols", ("*.toml", "*.rules", "*.json")),
        ("opt/check", guest, ("*.py",)),
    ):
        for file in _files(source, patterns):
            _add_file(archive, folders, f"{target}/{file.relative_to(source).as_posix()}", file)
    rule = project / "protocols" / "usb" / "60-neurostim.rules"
    archive.add("etc/udev/rules.d/60-neurostim.rules", stat.S_IFREG | 0o644, rule.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, (guest / "init").read_bytes())
    archive.close()


def extract_kernel(fetched: Path, to: Path) -> None:
    """Take the kernel's package out of the root it was fetched into, and the kernel out of its package."""
    package = fetched / KERNEL
    with tarfile.open(fetched / "root.tar") as tar:
        for member in tar:
            held = tar.extractfile(member) if "/var/cache/linux-image-" in member.name else None
            if held is not None:
                package.write_bytes(held.read())
    for member, data in _package(package):
        if member.name.startswith("./boot/vmlinuz-"):
            to.write_bytes(data)
            return
    raise SystemExit(f"{package} holds no kernel")


def _add_root(archive: Cpio, root: Path) -> None:
    with tarfile.open(root) as tar:
        for member in tar:
            name = member.name.removeprefix("./").rstrip("/")
            if not name or name == "." or f"{name}/".startswith(LEFT_OUT) or name.endswith(".pyc"):
                continue
            if member.isdir():
                archive.add(name, stat.S_IFDIR | member.mode)
            elif member.issym():
                archive.add(name, stat.S_IFLNK | 0o777, member.linkname.encode())
            elif member.ischr() or member.isblk():
                kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
                archive.add(name, kind | member.mode, device=(member.devmajor, member.devminor))
            elif member.isfile() or member.islnk():
                held = tar.extractfile(member)
                archive.add(name, stat.S_IFREG | member.mode, held.read() if held else b"")


def _add_modules(archive: Cpio, package: Path) -> None:
    wanted = tuple(f"/kernel/{name}.ko" for name in MODULES)
    folders: set[str] = set()
    found = 0
    for member, data in _package(package):
        name = member.name.removeprefix("./")
        if not name.startswith(("lib/modules/", "usr/lib/modules/")):
            continue
        name = "usr/" + name.removeprefix("usr/")
        is_list = name.rpartition("/")[2] in ("modules.builtin", "modules.order", "modules.builtin.modinfo")
        if name.endswith(wanted) or is_list:
            found += name.endswith(wanted)
            _add_folders(archive, folders, name)
            archive.add(name, stat.S_IFREG | 0o644, data)
    if found != len(MODULES):
        raise SystemExit(f"{package} holds {found} of the {len(MODULES)} modules")


def _package(package: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    held = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(held)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member, file.read()


def _files(source: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        for file in sorted(source.rglob(pattern)):
            if file.is_file() and not {"__pycache__", "tests"} & set(file.relative_to(source).parts):
                yield file


def _add_file(archive: Cpio, folders: set[str], name: str, file: Path) -> None:
    _add_folders(archive, folders, name)
    archive.add(name, stat.S_IFREG | 0o644, file.read_bytes())


def _add_folders(archive: Cpio, folders: set[str], name: str) -> None:
    parts = name.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder not in folders:
            folders.add(folder)
            archive.add(folder, stat.S_IFDIR | 0o755)
