"""The story that `localmodel demo` tells: a model's way from S3 to the nodes' disks and into pods, and back out."""
