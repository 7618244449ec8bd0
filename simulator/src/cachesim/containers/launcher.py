"""What a container's process runs first: makes a root of its own with the mounts in it, then becomes the command.

    python -I -S launcher.py SPECIFICATION

The specification is a Python literal: `root` (an empty directory, "" for no namespace of its own), `user_namespace`,
`mounts` [(source, target, read_only)], `argv`, `working_dir`, `parent`. The environment is passed on. The root is a
tmpfs of bind mounts of this machine's directories, so that a mount target that isn't there can be made without leaving
a trace; it can't be reached from outside, and goes with its last process. Only what starts fast is imported: each pod
waits for it.
"""

from __future__ import annotations

import ast
import ctypes
import os
import signal
import sys
from typing import Any

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 0x1
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_UNBINDABLE = 0x20000
_MS_PRIVATE = 0x40000
_PARENT_DEATH_SIGNAL = 1
# Flags of the mount below, which a user namespace may not take off: nosuid, nodev, noexec, and the atime ones.
_LOCKED_FLAGS = 0x2 | 0x4 | 0x8 | 0x400 | 0x800

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode())
    check(result, f"mount {source} on {target}")


def die_with_parent(parent: int) -> None:
    """SIGKILL when the cluster ends, however it ends."""
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(137)


def enter_namespace(*, user_namespace: bool) -> None:
    user, group = os.getuid(), os.getgid()
    check(_libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if user_namespace else 0)), "unshare")
    if user_namespace:
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(descriptor, content.encode())
            os.close(descriptor)
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)


def build_root(root: str, targets: list[str]) -> None:
    """This machine's directories, and the missing ones of the targets, on a tmpfs."""
    mount("tmpfs", root, "tmpfs", 0, "size=16m,mode=755")
    # Unbindable: the recursive binds below would take it into itself.
    mount("none", root, "", _MS_UNBINDABLE)
    copy_directory("/", root, targets)


def copy_directory(path: str, root: str, targets: list[str]) -> None:
    """Bind each entry of `path`; those on the way to a target that isn't there are made anew, with their entries."""
    entries = os.listdir(path) if os.path.isdir(path) else []
    wanted = {target[len(path) :].lstrip("/").split("/", 1)[0] for target in targets if below(target, path)}
    for name in sorted(wanted.union(entries) - {""}):
        entry = os.path.join(path, name)
        copy = root + entry
        inside = [target for target in targets if below(target, entry) and not os.path.isdir(target)]
        if os.path.islink(entry) and not inside:
            os.symlink(os.readlink(entry), copy)
        elif inside or not os.path.lexists(entry):
            os.mkdir(copy)
            copy_directory(entry, root, targets)
        elif os.path.isdir(entry):
            os.mkdir(copy)
            mount(entry, copy, "", _MS_BIND | _MS_REC)
        elif os.path.isfile(entry):
            os.close(os.open(copy, os.O_CREAT | os.O_WRONLY))
            mount(entry, copy, "", _MS_BIND)


def below(target: str, path: str) -> bool:
    return target == path or target.startswith(path.rstrip("/") + "/")


def mount_volume(source: str, target: str, *, read_only: bool) -> None:
    os.makedirs(target, exist_ok=True)
    mount(source, target, "", _MS_BIND | _MS_REC)
    if read_only:
        kept = os.statvfs(target).f_flag & _LOCKED_FLAGS
        mount("none", target, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def prepare(specification: dict[str, Any]) -> None:
    root = specification["root"]
    if not root:
        return
    enter_namespace(user_namespace=specification["user_namespace"])
    mounts = sorted(specification["mounts"], key=lambda entry: str(entry[1]))
    build_root(root, [target for _, target, _ in mounts])
    for source, target, read_only in mounts:
        mount_volume(source, root + target, read_only=read_only)
    os.chroot(root)
    os.chdir("/")


def main(specification: dict[str, Any]) -> int:
    try:
        prepare(specification)
        os.chdir(specification["working_dir"] or "/")
        # After the namespaces: a change of credentials would take the signal off.
        die_with_parent(specification["parent"])
        os.execvp(specification["argv"][0], specification["argv"])  # noqa: S606 - becoming it is the point
    except OSError as error:
        sys.stderr.write(f"cannot start the container: {error}\n")
        return 125


if __name__ == "__main__":
    sys.exit(main(ast.literal_eval(sys.argv[1])))
