"""`localmodel verify`: check copies on a disk against their manifests, byte by byte."""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from cachecore.errors import DiskError, InvalidInput
from cachecore.ports import Disk
from cachecore.quantity import format_bytes
from cachecore.store import layout
from cachecore.store.scan import look_at, scan
from cachecore.store.verify import Damage, Problem, VerifyReport, digest_folder, verify_copy

SCHEMA = "localmodel.verify/v1"

Progress = Callable[[int, int], None]


class CheckedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a store, or a plain folder: then the key, the URI and the expected digest are empty."""

    key: str = ""
    source_model_uri: str = ""
    ok: bool
    digest: str
    expected_digest: str = ""
    files: int
    size_bytes: int
    problems: tuple[Problem, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes; `store` is empty for a plain folder."""

    schema: str = SCHEMA
    ok: bool
    path: str
    store: str = ""
    copies: tuple[CheckedCopy, ...]
    # What is in the store and is no copy: nothing of it is checked.
    notes: tuple[str, ...] = ()


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "verify",
        help="check copies on a disk, or compute the digest of a folder",
        description="Reads every byte of the copies at PATH and compares it with what was downloaded. PATH is the root "
        "of a store, a view ROOT/KEY or a copy ROOT/KEY/models/KEY. Of any other folder it prints the digest: the "
        "value for a cache's field digest. Exit code 0 when all is well, 1 when something is wrong, 2 when PATH is "
        "nothing that can be checked.",
    )
    parser.add_argument("path", metavar="PATH", help="a store's root, a view, a copy, or any folder of files")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help=f"write the outcome as JSON, schema {SCHEMA}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    bar = _ProgressLine(shown=sys.stderr.isatty())
    try:
        outcome = check(arguments.path, bar.show)
        bar.clear()
        # Said before it is written: reading it all again, for a file that can't be written, may take an hour.
        print(describe(outcome))
        if arguments.json is not None:
            _write(arguments.json, outcome)
    except InvalidInput as error:
        bar.clear()
        sys.stderr.write(f"localmodel: {_printable(str(error))}\n")
        return 2
    return 0 if outcome.ok else 1


def check(given: str, progress: Progress = lambda done, total: None) -> Outcome:
    """Check whatever the path names. Raises `InvalidInput`."""
    path = os.path.realpath(given)
    if not os.path.isdir(path):
        raise InvalidInput(f"{given}: {'is no folder' if os.path.lexists(given) else 'there is no such folder'}")
    if _is_store(path):
        return asyncio.run(_check_store(given, path, progress))
    located = layout.locate(path.removesuffix("/models"))
    if located is not None and _is_store(located[0]):
        return asyncio.run(_check_view(given, *located, progress))
    return asyncio.run(_check_folder(given, path, progress))


def _is_store(path: str) -> bool:
    return os.path.isdir(os.path.join(path, layout.PRIVATE_DIRECTORY))


@contextmanager
def _disk(root: str) -> Iterator[Disk]:
    # Imported late, so that the other commands start without the agent.
    from cacheagent.adapters.posix_disk import PosixDisk

    disk = PosixDisk(root)
    try:
        yield disk
    finally:
        disk.close()


async def _check_store(given: str, root: str, progress: Progress) -> Outcome:
    with _disk(root) as disk:
        try:
            facts = await scan(disk)
        except DiskError as error:
            raise InvalidInput(f"{given}: {error}") from error
        copies = [await _checked(disk, copy.key, progress) for copy in facts.copies]
    notes = [f"{staged.key}: a download that was begun, nothing that a pod sees" for staged in facts.staged]
    notes += [f"{layout.legacy_path(key)}: left by KServe's agent, not adopted" for key in facts.legacy]
    return _outcome(given, root, copies, tuple(notes))


async def _check_view(given: str, root: str, key: str, progress: Progress) -> Outcome:
    with _disk(root) as disk:
        try:
            copy = await look_at(disk, key)
        except DiskError as error:
            raise InvalidInput(f"{given}: {error}") from error
        if not copy.published and copy.manifest is None:
            raise InvalidInput(f"{given}: the view is empty, its model is not on this disk")
        return _outcome(given, root, [await _checked(disk, key, progress)])


async def _checked(disk: Disk, key: str, progress: Progress) -> CheckedCopy:
    try:
        return _checked_copy(await verify_copy(disk, key, progress=progress))
    except DiskError as error:
        return _checked_copy(
            VerifyReport(key=key, found=(Problem(damage=Damage.UNREADABLE, message=f"cannot be read: {error}"),))
        )


async def _check_folder(given: str, path: str, progress: Progress) -> Outcome:
    parent, name = os.path.split(path)
    if not name:
        raise InvalidInput(f"{given}: is the whole file system, not a model")
    try:
        with _disk(parent) as disk:
            report = await digest_folder(disk, name, progress=progress)
    except DiskError as error:
        raise InvalidInput(f"{given}: cannot be read: {error}") from error
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{given}: a file's name is not UTF-8, so no model can hold it") from error
    if report.found:
        raise InvalidInput(
            f"{given}: {report.found[0].path} is a symlink, and a model holds files alone; copy it first: cp -rL"
        )
    if not report.files:
        raise InvalidInput(f"{given}: holds no file")
    return _outcome(given, "", [_checked_copy(report)])


def _checked_copy(report: VerifyReport) -> CheckedCopy:
    return CheckedCopy(
        key=report.key,
        source_model_uri=report.source_model_uri,
        ok=report.ok,
        digest=report.digest,
        expected_digest=report.expected_digest,
        files=report.files,
        size_bytes=report.size_bytes,
        problems=tuple(
            msgspec.structs.replace(problem, path=_printable(problem.path), message=_printable(problem.message))
            for problem in report.found
        ),
    )


def _outcome(given: str, root: str, copies: list[CheckedCopy], notes: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        ok=all(copy.ok for copy in copies),
        path=_printable(given),
        store=_printable(root),
        copies=tuple(copies),
        notes=notes,
    )


def _write(file: pathlib.Path, outcome: Outcome) -> None:
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from error


def describe(outcome: Outcome) -> str:
    """The outcome in words."""
    if not outcome.store:
        folder = outcome.copies[0]
        return f"{folder.digest}  {outcome.path}  ({_amount(folder)}; no copy of a store, nothing to compare it with)"
    lines = []
    for copy in outcome.copies:
        lines.append(f"{copy.key}  {'ok' if copy.ok else 'WRONG'}  {copy.digest or 'no digest'}")
        if copy.source_model_uri:
            lines.append(f"  {copy.source_model_uri}, {_amount(copy)}")
        lines += [f"  {problem}" for problem in copy.problems]
        if copy.digest and copy.digest != copy.expected_digest:
            lines.append(f"  downloaded as {copy.expected_digest}")
    lines += list(outcome.notes)
    wrong = sum(not copy.ok for copy in outcome.copies)
    lines.append(f"{_count(len(outcome.copies), 'copy', 'copies')}, {f'{wrong} WRONG' if wrong else 'all ok'}")
    return "\n".join(lines)


def _amount(copy: CheckedCopy) -> str:
    return f"{_count(copy.files, 'file', 'files')}, {format_bytes(copy.size_bytes)}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _printable(text: str) -> str:
    """A name from a disk may hold anything; what steers a terminal or is no Unicode is escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class _ProgressLine:
    """How far the reading is, on a terminal; nothing of it stays."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def show(self, done_bytes: int, total_bytes: int) -> None:
        if self._shown:
            share = done_bytes / total_bytes if total_bytes else 1.0
            sys.stderr.write(f"\r{share:4.0%} of {format_bytes(total_bytes)} \033[K")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
