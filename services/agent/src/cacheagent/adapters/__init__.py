"""What touches the real world: the POSIX disk, the object stores, the copying of bytes."""
