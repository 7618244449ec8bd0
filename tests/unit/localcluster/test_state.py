"""The state directory, the janitor, certificates, kubeconfig and disks' sizes."""

from __future__ import annotations

import datetime
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from cachecore.errors import InvalidInput
from cachesim.host.certificates import make_certificate
from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.localcluster import janitor
from cachesim.localcluster.commands import environment
from cachesim.localcluster.disks import check_disk_size
from cachesim.localcluster.s3 import LocalS3
from cachesim.localcluster.state import StateDirectory

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_a_temporary_directory_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = StateDirectory("")
    state.open()
    assert state.root.parent == tmp_path
    state.close()
    assert not state.root.exists()


def test_a_named_directory_stays_without_its_scratch(tmp_path: Path) -> None:
    state = StateDirectory(str(tmp_path / "state"))
    state.open()
    state.close()
    assert (tmp_path / "state" / "logs").is_dir()
    assert not state.scratch.exists()


def test_two_clusters_do_not_share_a_directory(tmp_path: Path) -> None:
    first = StateDirectory(str(tmp_path))
    with pytest.raises(InvalidInput, match="another cluster runs in"):
        StateDirectory(str(tmp_path))
    first.close()
    StateDirectory(str(tmp_path)).close()


def test_a_directory_that_cannot_be_made_is_named() -> None:
    with pytest.raises(InvalidInput, match="/proc/none"):
        StateDirectory("/proc/none")


def test_the_janitor_removes_what_it_was_told(tmp_path: Path) -> None:
    doomed, kept = tmp_path / "doomed", tmp_path / "kept"
    for directory in (doomed, kept):
        directory.mkdir()
    commands = f"('remove', {str(doomed)!r})\n"
    subprocess.run([sys.executable, "-I", "-S", janitor.__file__], input=commands, text=True, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_janitor_removes_cgroups_from_the_innermost(tmp_path: Path) -> None:
    """Where the kernel keeps directories, only empty ones can be removed, and files in them are its own."""
    (tmp_path / "group" / "pods" / "one").mkdir(parents=True)
    commands = f"('cgroup', {str(tmp_path / 'group')!r})\n('cgroup', {str(tmp_path / 'none')!r})\n"
    subprocess.run([sys.executable, "-I", "-S", janitor.__file__], input=commands, text=True, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_cgroup_in_use_is_waited_for_and_then_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "process").touch()
    monkeypatch.setattr(janitor, "CGROUP_SECONDS", 0.1)
    janitor.remove_cgroups([str(tmp_path / "group")])
    assert (tmp_path / "group" / "process").exists()


def test_a_certificate_carries_its_names(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, ("127.0.0.1", "webhook.svc"), now=NOW)
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["webhook.svc"]


def test_a_private_key_is_private(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, ("localhost",), now=NOW)
    assert stat.S_IMODE(made.private_key.stat().st_mode) == 0o600


def test_a_kubeconfig_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "kubeconfig"
    write_kubeconfig(path, url="https://127.0.0.1:1", authority=b"pem", user="ada", token="secret")
    content = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:1",
        "certificate-authority-data": "cGVt",
    }
    assert content["users"][0]["user"] == {"token": "secret"}


def test_a_kubeconfig_of_an_earlier_cluster_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    for token in ("old", "new"):
        write_kubeconfig(path, url="https://127.0.0.1:1", authority=b"pem", user="ada", token=token)
    assert "token: new" in path.read_text()


@pytest.mark.parametrize(
    "content",
    ["contexts: [{name: production}]", "contexts: [{name: localmodel}, {name: production}]", "{", "plain text", "a: b"],
)
def test_somebody_elses_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="not of a local cluster"):
        write_kubeconfig(path, url="https://127.0.0.1:1", authority=b"pem", user="ada", token="secret")
    assert path.read_text() == content


def test_a_kubeconfig_that_cannot_be_written_is_named() -> None:
    with pytest.raises(InvalidInput, match="/proc/none"):
        write_kubeconfig(Path("/proc/none"), url="", authority=b"", user="ada", token="")


@pytest.mark.parametrize("size", [0, 1024, 32 * 1024 * 1024 - 1])
def test_a_disk_that_is_too_small_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="too small"):
        check_disk_size(size)


@pytest.mark.parametrize("size", [None, 32 * 1024 * 1024])
def test_a_disk_that_is_large_enough_is_fine(size: int | None) -> None:
    check_disk_size(size)


def test_services_do_not_see_the_users_clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "KUBECONFIG", "https_proxy", "LOCALMODEL_PORT"):
        monkeypatch.setenv(name, "elsewhere")
    s3 = LocalS3(endpoint_url="http://127.0.0.1:1", access_key="a", secret_key="b")
    found = environment(tmp_path, s3)
    assert "elsewhere" not in found.values()
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert found["PATH"] == os.environ["PATH"]
