"""What lies on a node's disk: names, digests, manifests, and checks. Pure, or over the `Disk` port."""
