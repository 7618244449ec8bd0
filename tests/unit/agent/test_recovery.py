"""What an agent finds on its disk when it starts, or some day later: only what is whole counts."""

from __future__ import annotations

from cacheagent.testing import NodeRig
from cachecore.names import storage_key
from cachecore.resources.serving import LocalModelInfo
from cachecore.store import layout
from cachecore.testing import FakeDisk


def key_of(entry: LocalModelInfo) -> str:
    return storage_key(entry.source_model_uri)


def put_legacy(rig: NodeRig, entry: LocalModelInfo) -> None:
    for path, content in rig.expected(entry).items():
        rig.disk.add_file(f"{layout.legacy_path(key_of(entry))}/{path}", content)


def test_a_copy_of_kserve_is_adopted_without_a_byte_fetched(rig: NodeRig) -> None:
    iris = rig.model("iris", files=2)
    put_legacy(rig, iris)
    rig.assign(iris)
    rig.settle()
    assert rig.state(iris) == "Downloaded"
    assert rig.published(iris) == rig.expected(iris)
    assert rig.mover.bytes_moved == 0
    assert not [path for path in rig.disk.files if path.startswith("models/")]


def test_a_copy_of_kserve_that_lacks_a_file_is_not_believed(rig: NodeRig) -> None:
    iris = rig.model("iris", files=2)
    put_legacy(rig, iris)
    del rig.disk._files[f"{layout.legacy_path(key_of(iris))}/file-1.bin"]
    rig.assign(iris)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    assert rig.mover.bytes_moved == 100


def test_a_copy_of_kserve_with_other_bytes_is_not_believed(rig: NodeRig) -> None:
    iris = rig.model("iris")
    put_legacy(rig, iris)
    rig.disk.flip_bit(f"{layout.legacy_path(key_of(iris))}/file-0.bin")
    rig.assign(iris)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)


def test_a_published_copy_without_manifest_is_adopted_where_it_is(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle()
    del rig.disk._files[layout.manifest_path(key_of(iris))]
    moved = rig.mover.bytes_moved
    rig.settle()
    assert rig.state(iris) == "Downloaded"
    assert rig.mover.bytes_moved == moved


def test_a_folder_that_is_not_the_model_is_replaced(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.disk.add_file(f"{layout.published_path(key_of(iris))}/file-0.bin", b"something else")
    rig.assign(iris)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)


def test_a_copy_that_somebody_deleted_is_noticed_and_fetched_again(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(60)
        await rig.disk.remove_tree(layout.published_path(key_of(iris)))
        await rig.sleep(120)

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)


def test_a_copy_that_lost_a_file_is_replaced(rig: NodeRig) -> None:
    iris = rig.model("iris", files=2)
    rig.assign(iris)
    rig.settle()
    del rig.disk._files[f"{layout.published_path(key_of(iris))}/file-1.bin"]
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)


def test_a_damaged_copy_in_use_is_left_alone_and_reported(rig: NodeRig) -> None:
    iris = rig.model("iris", files=2)
    rig.assign(iris)
    rig.settle()
    del rig.disk._files[f"{layout.published_path(key_of(iris))}/file-1.bin"]
    rig.start_pod("pod", iris)
    rig.settle()
    assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "CopyDamaged")
    assert list(rig.published(iris)) == ["file-0.bin"]


def test_a_kill_in_the_middle_is_resumed(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)
    rig.settle(0.2)
    assert 0 < rig.mover.bytes_moved < 800
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    # At most the parts that were on their way were fetched twice.
    assert rig.mover.bytes_moved <= 800 + 2 * 8


def test_trash_of_an_earlier_life_is_unlinked(rig: NodeRig) -> None:
    rig.disk.add_file(f"{layout.trash_path('0123456789abcdef-1')}/huge", bytes(500))
    rig.assign()
    rig.settle()
    assert not [path for path in rig.disk.files if path.startswith(layout.TRASH_PATH)]


def test_staging_of_a_model_that_nobody_wants_is_removed(rig: NodeRig) -> None:
    rig.disk.add_file(f"{layout.staging_files_path('0123456789abcdef')}/half", bytes(500))
    rig.assign()
    rig.settle()
    assert not [path for path in rig.disk.files if path.startswith(layout.STAGING_PATH)]


def test_what_is_not_ours_is_left_alone(rig: NodeRig) -> None:
    foreign = ["lost+found/x", "notes.txt", "models/0123456789abcdef/file", "0123456789ABCDEF/models/y"]
    for path in foreign:
        rig.disk.add_file(path, b"theirs")
    rig.assign()
    rig.settle()
    assert set(foreign) <= set(rig.disk.files)


def test_a_wiped_disk_is_a_new_store_and_is_filled_again(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> tuple[str, str]:
        rig.start()
        await rig.sleep(60)
        before = rig.node.status.store_id
        for path in list(rig.disk.files):
            await rig.disk.remove_tree(path.split("/", maxsplit=1)[0])
        await rig.sleep(120)
        return before, rig.node.status.store_id

    before, after = rig.run(scenario)
    assert "" not in (before, after)
    assert before != after
    assert rig.published(iris) == rig.expected(iris)


def test_a_deleted_localmodelnode_removes_no_copy(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.cluster.remove(type(rig.node), rig.node.name)
        await rig.sleep(120)
        rig.assign(iris)
        await rig.sleep(30)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"
    assert rig.mover.bytes_moved == 100


def test_an_evicted_model_does_not_come_back_for_a_restart(rig: NodeRig) -> None:
    models = [rig.model(name, size_bytes=400) for name in ("a", "b", "c")]
    rig.assign(*models[:2])
    rig.settle()
    rig.assign(*models)
    rig.settle()
    states = [rig.state(entry) for entry in models]
    moved = rig.mover.bytes_moved
    rig.settle()
    assert [rig.state(entry) for entry in models] == states
    assert rig.mover.bytes_moved == moved


def test_an_empty_new_disk_of_another_size_is_believed(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)
    rig.settle()
    rig.disk = FakeDisk(500)
    rig.settle(120)
    assert rig.state(iris) == "InsufficientStorage"


def test_a_killed_agent_writes_nothing_any_more(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)

    async def scenario() -> int:
        rig.start()
        await rig.sleep(0.2)
        rig.kill()
        await rig.sleep(0.1)
        before = rig.mover.bytes_moved
        await rig.sleep(60)
        return rig.mover.bytes_moved - before

    assert rig.run(scenario) == 0


def test_a_use_while_the_agent_was_away_is_remembered(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle(30)
    rig.start_pod("pod", iris)
    rig.settle(30)
    rig.stop_pod("pod")
    status = rig.status(iris)
    assert status is not None
    assert status.last_used_time is not None
