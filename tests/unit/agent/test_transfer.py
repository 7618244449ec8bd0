"""One download: what arrives, what is retried, what is resumed, what is refused."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.assembly import TransferLimits
from cacheagent.connections import Connections
from cacheagent.listing import select
from cacheagent.throttle import TokenBucket
from cacheagent.transfer import DigestMismatch, Progress, Request, Transfer
from cachecore.errors import (
    AccessDenied,
    CorruptTransfer,
    DiskFailure,
    DiskFull,
    HostileName,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
)
from cachecore.ports import ChecksumAlgorithm
from cachecore.store import layout
from cachecore.store.digest import digest_of_contents
from cachecore.store.manifest import Manifest, decode
from cachecore.testing import FakeDisk, FakeObjectStore, FakePartMover, VirtualRuntime

URI = "s3://models/iris"
KEY = "0123456789abcdef"
LIMITS = TransferLimits(part_bytes=8, attempts=4, listings=3, backoff_seconds=0.1)


class Download:
    """A source, a disk, and one download after the other."""

    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.disk = FakeDisk()
        self.source = FakeObjectStore({f"{URI}/a.bin": bytes(range(30)), f"{URI}/sub/b.bin": b"small", f"{URI}/c": b""})
        self.mover = FakePartMover(self.disk, self.runtime, seconds_per_byte=0.01)
        self.progress: list[Progress] = []
        self.limits = LIMITS

    def transfer(self, digest: str = "", throttle: TokenBucket | None = None) -> Transfer:
        return Transfer(
            self.runtime,
            self.disk,
            self.mover,
            self.source,
            Request(key=KEY, uri=URI, digest=digest),
            connections=Connections(self.runtime, initial=3, maximum=3),
            limits=self.limits,
            throttle=throttle,
            progress=self.progress.append,
        )

    def run(self, digest: str = "", throttle: TokenBucket | None = None) -> Manifest:
        async def scenario() -> Manifest:
            listing = select(URI, await self.source.list(URI))
            return await self.transfer(digest, throttle).run(listing)

        return self.runtime.run(scenario())

    def kill_after(self, seconds: float) -> None:
        async def scenario() -> None:
            listing = select(URI, await self.source.list(URI))
            task = self.runtime.spawn(self.transfer().run(listing), name="transfer")
            await self.runtime.sleep(seconds)
            task.cancel()

        self.runtime.run(scenario())

    @property
    def published(self) -> dict[str, bytes]:
        root = f"{layout.published_path(KEY)}/"
        return {path.removeprefix(root): content for path, content in self.disk.files.items() if path.startswith(root)}

    @property
    def expected(self) -> dict[str, bytes]:
        return {path.removeprefix(f"{URI}/"): content for path, content in self.source.objects.items()}


@pytest.fixture
def download() -> Download:
    return Download()


def test_the_model_is_published_as_the_source_has_it(download: Download) -> None:
    download.run()
    assert download.published == download.expected


def test_the_digest_is_the_one_of_the_content(download: Download) -> None:
    assert download.run().digest == digest_of_contents(download.expected, 8)


def test_the_manifest_is_on_disk(download: Download) -> None:
    whole = download.run()
    assert decode(download.disk.files[layout.manifest_path(KEY)]) == whole


def test_nothing_is_left_of_the_staging_area(download: Download) -> None:
    download.run()
    assert not [path for path in download.disk.files if path.startswith(layout.STAGING_PATH)]


def test_the_source_is_listed_once(download: Download) -> None:
    download.run()
    assert download.source.faults.count("list") == 1


def test_progress_ends_with_every_byte(download: Download) -> None:
    download.run()
    assert download.progress[-1].done_bytes == download.progress[-1].total_bytes == 35
    assert [step.done_bytes for step in download.progress] == sorted(step.done_bytes for step in download.progress)


@pytest.mark.parametrize("error", [SourceUnavailable("503"), CorruptTransfer("short")])
@pytest.mark.parametrize("skip", [0, 2, 4], ids=["first", "middle", "last"])
def test_a_part_that_fails_for_a_while_is_fetched_again(download: Download, error: Exception, skip: int) -> None:
    download.mover.faults.fail("move", error, skip=skip, times=3)
    download.run()
    assert download.published == download.expected


@pytest.mark.parametrize(
    "error", [SourceUnavailable("503"), CorruptTransfer("short"), AccessDenied("expired"), SourceNotFound("gone")]
)
def test_a_part_that_never_comes_fails_the_download(download: Download, error: Exception) -> None:
    download.mover.faults.fail("move", error, pattern="*a.bin", times=None)
    with pytest.raises(type(error)):
        download.run()
    assert download.published == {}


def test_an_object_that_changes_starts_over_and_the_rest_does_not(download: Download) -> None:
    async def scenario() -> None:
        listing = select(URI, await download.source.list(URI))
        download.source.put(f"{URI}/a.bin", bytes(reversed(range(30))))
        await download.transfer().run(listing)

    download.runtime.run(scenario())
    assert download.published == download.expected
    assert download.mover.bytes_moved <= 35


def test_a_source_that_changes_all_the_time_is_given_up(download: Download) -> None:
    download.mover.faults.fail("move", SourceChanged("again"), times=None)
    with pytest.raises(SourceChanged):
        download.run()
    assert download.published == {}


def test_a_source_that_grows_asks_for_room_first(download: Download) -> None:
    async def scenario() -> None:
        listing = select(URI, await download.source.list(URI))
        download.source.put(f"{URI}/a.bin", bytes(100))
        await download.transfer().run(listing)

    with pytest.raises(SourceChanged, match="more room"):
        download.runtime.run(scenario())


def test_what_is_recorded_is_not_fetched_again(download: Download) -> None:
    download.kill_after(0.1)
    before = download.mover.bytes_moved
    assert 0 < before < 35
    download.run()
    assert download.published == download.expected
    assert download.mover.bytes_moved == 35


def test_a_change_before_anything_is_taken_over_costs_nothing_that_was_recorded(download: Download) -> None:
    download.kill_after(0.1)
    download.source.faults.fail("checksum", SourceChanged("at the first question"))
    download.run()
    assert download.published == download.expected
    assert download.mover.bytes_moved == 35


def test_a_part_that_rotted_meanwhile_is_fetched_again(download: Download) -> None:
    download.kill_after(0.1)
    download.disk.flip_bit(f"{layout.staging_files_path(KEY)}/a.bin")
    download.run()
    assert download.published == download.expected


def test_a_file_that_the_source_no_longer_has_is_not_published(download: Download) -> None:
    download.kill_after(0.1)
    del download.source.objects[f"{URI}/sub/b.bin"]
    download.run()
    assert download.published == download.expected


def test_an_unreadable_journal_only_costs_its_parts(download: Download) -> None:
    download.kill_after(0.1)
    for path in list(download.disk.files):
        if path.startswith(layout.staging_journal_path(KEY)):
            download.disk.add_file(path, b"{torn")
    download.run()
    assert download.published == download.expected


def test_a_wrong_digest_publishes_nothing_and_leaves_nothing(download: Download) -> None:
    with pytest.raises(DigestMismatch, match="the cache expects blake3:00"):
        download.run(digest="blake3:00")
    assert download.disk.files == {}


def test_the_right_digest_is_accepted(download: Download) -> None:
    assert download.run(digest=digest_of_contents(download.expected, 8)).size_bytes == 35


def test_no_byte_is_asked_for_before_its_space_is_there(download: Download) -> None:
    download.disk.capacity_bytes = 33
    with pytest.raises(DiskFull):
        download.run()
    assert download.mover.bytes_moved == 0


@pytest.mark.parametrize("verb", ["allocate", "write", "sync_tree", "rename", "make_directory"])
def test_a_failing_disk_fails_the_download_and_the_next_one_succeeds(download: Download, verb: str) -> None:
    download.disk.faults.fail(verb, DiskFailure("EIO"))
    with pytest.raises(DiskFailure):
        download.run()
    assert download.published == {}
    download.run()
    assert download.published == download.expected


def test_the_bandwidth_limit_holds(download: Download) -> None:
    download.mover = FakePartMover(download.disk, download.runtime)
    download.run(throttle=TokenBucket(download.runtime, 5))
    # The last part may begin when all before it have had their time.
    assert download.runtime.monotonic() >= (35 - 8) / 5


def test_hostile_names_are_refused_before_a_byte_is_written(download: Download) -> None:
    download.source.put(f"{URI}/../../etc/passwd", b"x")
    with pytest.raises(HostileName):
        download.run()
    assert download.disk.files == {}


def test_a_store_whose_checksums_mean_something_else_can_be_read_all_the_same(download: Download) -> None:
    download.source.algorithm = ChecksumAlgorithm.CRC32
    download.source.corrupt(f"{URI}/a.bin")
    with pytest.raises(CorruptTransfer):
        download.run()
    download.limits = msgspec.structs.replace(LIMITS, source_checksums=False)
    download.run()
    assert download.published.keys() == download.expected.keys()
