"""What a node's programs are told, as files in the node's own directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import yaml

from realcluster.network import GATEWAY, node_address, pod_subnet
from realcluster.requirements import CNI_DIRECTORY

PAUSE_IMAGE = "docker.io/localmodel/pause:1"


class NodeFiles(msgspec.Struct, frozen=True, kw_only=True):
    """`directory` is the node's; `tls` has the certificate that all parts show, its key, and the authority's."""

    directory: Path
    name: str
    number: int
    cgroup: str
    tls: Path

    @property
    def socket(self) -> Path:
        return Path("/run/containerd/containerd.sock")

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubelet.kubeconfig"

    @property
    def proxy_kubeconfig(self) -> Path:
        return self.directory / "kube-proxy.kubeconfig"

    def write(self) -> None:
        """All of them but the kubeconfigs."""
        for name in ("cni", "disk", "kubelet", "containerd"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "cni" / "10-bridge.conflist").write_text(json.dumps(self._network()))
        (self.directory / "containerd.toml").write_text(self._containerd())
        (self.directory / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet()))
        (self.directory / "kube-proxy.yaml").write_text(yaml.safe_dump(self._proxy()))

    def _network(self) -> dict[str, Any]:
        ranges = {
            "type": "host-local",
            "ranges": [[{"subnet": pod_subnet(self.number)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ranges}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _containerd(self) -> str:
        return f"""\
version = 2
root = "{self.directory}/containerd/root"
state = "/run/containerd"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Scores below one's own need CAP_SYS_RESOURCE, which root does not have everywhere.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_DIRECTORY}"
    conf_dir = "{self.directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.tls / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(self.tls / "tls.crt"),
            "tlsPrivateKeyFile": str(self.tls / "tls.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "failCgroupV1": False,
            "clusterDNS": [GATEWAY],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "enforceNodeAllocatable": [],
            # Of the whole machine's disk, which is not the node's.
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "24h",
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "nodeStatusUpdateFrequency": "2s",
            "resolvConf": "",
            "syncFrequency": "10s",
        }

    def _proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.proxy_kubeconfig)},
            "hostnameOverride": self.name,
            "clusterCIDR": "10.88.0.0/16",
            "mode": "iptables",
            # These are settings of the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }

    def init(self, *, images: list[Path], binaries: Path, nodes: int) -> dict[str, Any]:
        """What `node_init` is told."""
        others = [number for number in range(nodes) if number != self.number]
        return {
            "name": self.name,
            "address": f"{node_address(self.number)}/24",
            "gateway": GATEWAY,
            "routes": [[pod_subnet(number), node_address(number)] for number in others],
            "directory": str(self.directory),
            "socket": str(self.socket),
            "images": [str(path) for path in images],
            "containerd": ["containerd", "--config", str(self.directory / "containerd.toml")],
            "kubelet": [
                str(binaries / "kubelet"),
                f"--config={self.directory / 'kubelet.yaml'}",
                f"--kubeconfig={self.kubeconfig}",
                f"--hostname-override={self.name}",
                f"--node-ip={node_address(self.number)}",
            ],
            "kube-proxy": [str(binaries / "kube-proxy"), f"--config={self.directory / 'kube-proxy.yaml'}"],
        }
