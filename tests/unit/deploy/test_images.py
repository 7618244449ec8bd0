"""The images: what the Dockerfile says, and what tools/images.py packs without Docker, are one thing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

import pytest

import images
import images_contents
import images_slim
from images_archive import ImageError, Layer, digest_of, write_archive, write_layer

CONFIG = {"Entrypoint": ["server"], "User": "65532:65532"}


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> str:
    """With each instruction on one line, without comments."""
    text = (repository / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def stages(dockerfile: str) -> dict[str, str]:
    """The instructions of each stage, by its name."""
    found = re.split(r"^FROM \S+ AS (\S+)\n", dockerfile, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small file system: a program, a link to it, a text, and a folder for everyone."""
    root = tmp_path / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "server").write_text("#!/bin/sh\n")
    (root / "usr" / "bin" / "server").chmod(0o700)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc" / "passwd").chmod(0o600)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


@pytest.fixture
def archive(tree: Path, tmp_path: Path) -> dict[str, bytes]:
    """The members of an archive with two layers."""
    (tmp_path / "second" / "opt").mkdir(parents=True)
    layers = [write_layer(tree, tmp_path / "1.tar"), write_layer(tmp_path / "second", tmp_path / "2.tar")]
    write_archive(tmp_path / "image.tar", "docker.io/localmodel/test:1", layers, CONFIG, "amd64")
    with tarfile.open(tmp_path / "image.tar") as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file is not None}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return images.cache_folder()


def blob(archive: dict[str, bytes], digest: str) -> Any:
    return json.loads(archive["blobs/" + digest.replace(":", "/")])


def lint(dockerfile: str) -> tuple[str, int]:
    """What the linter says, and its status; no configuration of whoever runs the test counts, no pragma either."""
    linter = str(Path(sysconfig.get_path("scripts")) / "hadolint")
    command = [linter, "--no-color", "--disable-ignore-pragma", "--failure-threshold", "style", "-"]
    answer = subprocess.run(command, input=dockerfile, env={}, capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr, answer.returncode


def test_the_linter_finds_nothing_in_the_dockerfile(repository: Path) -> None:
    assert lint((repository / "deploy" / "Dockerfile").read_text()) == ("", 0)


@pytest.mark.parametrize(
    "line, rule", [("FROM python:latest", "DL3007"), ("ADD libs libs", "DL3020"), ("USER root", "DL3002")]
)
def test_the_linter_finds_what_it_is_there_for(repository: Path, line: str, rule: str) -> None:
    said, status = lint((repository / "deploy" / "Dockerfile").read_text() + line + "\n")
    assert (rule in said, status) == (True, 1)


def test_every_stage_starts_from_the_base_that_an_argument_pins_or_from_another_stage(
    dockerfile: str, stages: dict[str, str]
) -> None:
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE))
    assert dockerfile.startswith("ARG PYTHON_IMAGE=python:3.11-slim\n")
    assert bases - set(stages) == {"${PYTHON_IMAGE}"}


def test_all_that_the_dockerfile_copies_is_sent_to_docker(repository: Path, dockerfile: str) -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, flags=re.MULTILINE)
    ignored = (repository / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    names = {name for copied in copies for name in copied.split()}
    assert {name for name in names if name not in sent and name.split("/")[0] not in sent} == set()
    assert {name for name in names if not (repository / name).exists()} == set()


def test_user_and_environment_are_those_of_the_dockerfile(stages: dict[str, str]) -> None:
    variables = " ".join(f"{name}={value}" for name, value in images.ENVIRONMENT.items())
    assert stages["runtime"].splitlines() == [f"ENV {variables}", f"USER {images.USER}"]


@pytest.mark.parametrize("name", images.PARTS)
def test_a_part_is_made_of_what_the_dockerfile_makes_it_of_and_runs_the_same(
    repository: Path, stages: dict[str, str], name: str
) -> None:
    part = images.PARTS[name]
    (copied, entrypoint) = stages[name].splitlines()
    assert copied == f"COPY --from=build-{name} {images_contents.PREFIX} {images_contents.PREFIX}"
    assert json.loads(entrypoint.removeprefix("ENTRYPOINT ")) == list(part.entrypoint)
    built = stages["build"] + stages[f"build-{name}"]
    assert part.requirement in built.replace('"', "").split()
    assert f"images_slim.py {images_contents.PREFIX} {name}" in built
    words = re.findall(r"\./(\S+)", stages[f"build-{name}"])
    assert {str(path.relative_to(repository)) for word in words for path in repository.glob(word)} == set(part.folders)


def test_the_configuration_has_the_path_of_the_base_behind_our_own() -> None:
    (path, *_) = images.image_config(["cacheagent"])["Env"]
    assert path == f"PATH=/opt/localmodel/bin:{images.BASE_PATH}"


def test_an_image_is_named_after_the_version_of_the_project() -> None:
    assert images.image_name("agent") == "docker.io/localmodel/agent:0.1.0"
    assert images.image_name("pause") == "docker.io/localmodel/pause:1"


def test_an_archive_is_an_oci_layout_that_says_how_its_image_is_named(archive: dict[str, bytes]) -> None:
    (entry,) = json.loads(archive["index.json"])["manifests"]
    assert json.loads(archive["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/localmodel/test:1"
    manifest = blob(archive, entry["digest"])
    config = blob(archive, manifest["config"]["digest"])
    assert (config["config"], config["os"], config["architecture"]) == (CONFIG, "linux", "amd64")
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_every_digest_and_size_is_that_of_its_content(archive: dict[str, bytes]) -> None:
    (entry,) = json.loads(archive["index.json"])["manifests"]
    manifest = blob(archive, entry["digest"])
    for described in (entry, manifest["config"], *manifest["layers"]):
        content = archive["blobs/" + described["digest"].replace(":", "/")]
        assert described["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert described["size"] == len(content)


def test_a_layer_belongs_to_root_is_sorted_and_has_no_age(tree: Path, tmp_path: Path) -> None:
    layer = write_layer(tree, tmp_path / "layer.tar")
    with tarfile.open(layer.path) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        "bin", "etc", "etc/passwd", "tmp", "usr", "usr/bin", "usr/bin/server",
    ]  # fmt: skip
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert [f"{member.mode:o}" for member in members] == ["777", "755", "644", "1777", "755", "755", "755"]
    assert members[0].linkname == "usr/bin"
    assert layer.unpacked_bytes == sum(member.size for member in members)


def test_the_same_content_gives_the_same_layer_whoever_wrote_it_and_when(tree: Path, tmp_path: Path) -> None:
    first = write_layer(tree, tmp_path / "1.tar")
    content = (tree / "etc" / "passwd").read_text()
    (tree / "etc" / "passwd").unlink()
    (tree / "etc" / "passwd").write_text(content)
    (tree / "usr" / "bin" / "server").chmod(0o755)
    second = write_layer(tree, tmp_path / "2.tar")
    assert second.digest == first.digest == digest_of(tmp_path / "2.tar")


def test_what_an_image_is_made_of_changes_its_key(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("msgspec==0.22.0\n")
    source = tmp_path / "services" / "agent"
    source.mkdir(parents=True)
    (source / "agent.py").write_text("one")
    keys = [images.key_of(tmp_path, ("services/agent",), ["agent"])]
    (source / "agent.pyc").write_text("byte code, which no wheel has")
    assert images.key_of(tmp_path, ("services/agent",), ["agent"]) == keys[0]
    (source / "agent.py").write_text("two")
    keys.append(images.key_of(tmp_path, ("services/agent",), ["agent"]))
    (tmp_path / "constraints.txt").write_text("msgspec==0.21.0\n")
    keys.append(images.key_of(tmp_path, ("services/agent",), ["agent"]))
    keys.append(images.key_of(tmp_path, ("services/agent",), ["agent", "another base"]))
    assert len(set(keys)) == 4


@pytest.mark.parametrize("name", images.PARTS)
def test_a_copy_of_the_sources_has_the_key_of_the_sources(repository: Path, tmp_path: Path, name: str) -> None:
    sources = images.PARTS[name].sources
    images_contents.copy_sources(repository, sources, tmp_path)
    assert images.key_of(tmp_path, sources, []) == images.key_of(repository, sources, [])
    assert [path for path in tmp_path.rglob("*") if path.is_symlink() and not path.exists()] == []


def test_a_base_is_made_once(cache: Path) -> None:
    made: list[Path] = []

    def make(root: Path) -> None:
        made.append(root)
        (root / "etc").mkdir()

    layers: set[Layer] = {images.base_layer("base", ["a-package"], make) for _ in range(2)}
    (layer,) = layers
    assert (len(made), layer.path.parent.parent) == (1, cache)
    assert layer.digest == digest_of(layer.path)


def test_a_build_that_fails_leaves_nothing_behind(cache: Path) -> None:
    def fail(root: Path) -> None:
        (root / "half").write_text("of it")
        raise ImageError("no network")

    with pytest.raises(ImageError, match="no network"):
        images.base_layer("base", ["a-package"], fail)
    assert list(cache.iterdir()) == []


def test_only_the_newest_builds_of_an_image_are_kept(cache: Path) -> None:
    for count in range(images.KEPT_BUILDS + 2):
        images.base_layer("base", [f"package-{count}"], lambda root: None)
    assert len(list(cache.iterdir())) == images.KEPT_BUILDS


@pytest.mark.parametrize("name", ["agent", "pause"])
def test_the_archive_that_is_there_is_replaced(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    built = tmp_path / "image.tar"
    built.write_text("an archive")
    monkeypatch.setattr(images_contents, "check_python", lambda: None)
    monkeypatch.setattr(images, "build_part", lambda name: images.Built(built, 46_000_000, 98_000_000))
    monkeypatch.setattr(images, "build_pause", lambda: images.Built(built, 2_000_000, 0))
    for _ in range(2):
        archives = images.build([name], tmp_path / "output")
        assert {path.name: path.read_text() for path in (tmp_path / "output").iterdir()} == {
            f"{name}.tar": "an archive"
        }
        assert archives == {name: tmp_path / "output" / f"{name}.tar"}


@pytest.mark.parametrize("name, megabytes", [("agent", 120), ("webhook", 100), ("manager", 100)])
def test_an_image_that_is_too_large_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, megabytes: int
) -> None:
    too_large = images.Built(tmp_path / "image.tar", 46_000_000, megabytes * images.MEGABYTE + 100_000)
    monkeypatch.setattr(images_contents, "check_python", lambda: None)
    monkeypatch.setattr(images, "build_part", lambda name: too_large)
    monkeypatch.setattr(sys, "argv", ["images.py", "--output", str(tmp_path / "output"), name])
    with pytest.raises(SystemExit) as refused:
        images.main()
    wanted = f"images: {name} is too large: {megabytes}.1 MB beyond its base, and {megabytes} MB is the limit"
    # A text as the code of an exit is printed, and the status is 1.
    assert refused.value.code == wanted
    assert f"{megabytes + 46}.1 MB, {megabytes}" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "output").exists()
    images.check_size(name, megabytes * images.MEGABYTE)


@pytest.mark.parametrize("implementation, version", [("cpython", (3, 12)), ("pypy", (3, 11))])
def test_another_python_is_refused_in_one_line(implementation: str, version: tuple[int, int]) -> None:
    with pytest.raises(
        ImageError, match=rf"^the images .* CPython 3\.11, and this is {implementation} 3\.1\d: [^\n]+$"
    ):
        images_contents.check_python(implementation, version)


def test_what_is_not_installed_is_named_in_one_line() -> None:
    with pytest.raises(ImageError, match=r"^no-such-command is not installed"):
        images_contents.run("no-such-command")


def test_a_failed_command_is_told_by_the_last_line_of_its_complaint() -> None:
    with pytest.raises(ImageError, match=r"^sh failed: no such package$"):
        images_contents.run("sh", "-c", "printf 'a trace\nno such package\n\n' >&2; exit 100")


def test_commands_run_with_the_python_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    short, long = tmp_path / "bin" / "cacheagent", tmp_path / "bin" / "cachemanager"
    short.write_text(f"#!{sys.executable}\nimport sys\n")
    # What pip writes for an interpreter whose path is too long for the kernel.
    long.write_text(f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n")
    images_contents.make_environment(tmp_path)
    assert short.read_text() == "#!/opt/localmodel/bin/python\nimport sys\n"
    assert "'''exec' \"/opt/localmodel/bin/python\" \"$0\"" in long.read_text()
    assert (tmp_path / "bin" / "python").readlink() == Path("/usr/bin/python3.11")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of packages of a small environment."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in (
        "botocore/data/endpoints.json", "botocore/data/s3/2006/service-2.json.gz", "botocore/data/ec2/2016/x.json",
        "fsspec/tests/abstract.py", "kubernetes/aio/client/api/__init__.py", "kubernetes/aio/client/api/core_v1_api.py",
        "kubernetes/aio/client/rest.py", "localmodel_agent.dist-info/direct_url.json", "msgspec/__init__.pyi",
        "scipy/stats/_page_trend_test.py",
    ):  # fmt: skip
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    return packages


def remaining(packages: Path) -> list[str]:
    return sorted(str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file())


def test_what_no_service_reads_is_taken_out(installed: Path, tmp_path: Path) -> None:
    images_slim.slim(tmp_path, "agent")
    assert remaining(installed) == [
        "botocore/data/endpoints.json",
        "botocore/data/s3/2006/service-2.json.gz",
        "kubernetes/aio/client/api/__init__.py",
        "kubernetes/aio/client/rest.py",
        "scipy/stats/_page_trend_test.py",
    ]


def test_the_simulator_keeps_what_its_store_looks_up(installed: Path, tmp_path: Path) -> None:
    images_slim.slim(tmp_path, "simulator")
    assert "botocore/data/ec2/2016/x.json" in remaining(installed)


def test_a_record_names_the_files_that_are_left_and_not_where_they_came_from(installed: Path, tmp_path: Path) -> None:
    record = installed / "localmodel_agent.dist-info" / "RECORD"
    record.write_text(
        "kubernetes/aio/client/rest.py,sha256=1,0\nlocalmodel_agent.dist-info/direct_url.json,sha256=2,9\n"
    )
    images_slim.slim(tmp_path, "agent")
    assert record.read_text() == "kubernetes/aio/client/rest.py,,\n"


def test_an_unknown_image_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["images.py", "--output", str(tmp_path / "output"), "guard"])
    with pytest.raises(SystemExit):
        images.main()
    assert "no image is named 'guard'; there are manager, agent, webhook" in capsys.readouterr().err


def test_what_a_machine_lacks_for_images_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(images_contents, "check_python", refuse)
    assert images_contents.missing() == [
        "this is CPython 3.13",
        "Debian, whose packages the images have (apt-get and dpkg-deb are not here)",
    ]


def refuse() -> None:
    raise ImageError("this is CPython 3.13")
