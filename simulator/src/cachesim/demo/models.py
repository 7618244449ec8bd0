"""The models of the demo: real safetensors files, generated or the user's own, and their way into S3."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from cachecore.errors import InvalidInput
from cachecore.names import storage_key
from cachecore.store.digest import PART_BYTES, DigestedFile, file_digest, part_digest, tree_digest

BUCKET = "models"
_SHARD_BYTES = 128 * 2**20
_TENSOR_BYTES = 16 * 2**20
_UPLOADS = 4


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model on this machine and where it is in S3. `name` is its cache's name too."""

    name: str
    directory: str
    files: tuple[str, ...]
    bytes_total: int
    digest: str

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.name}"

    @property
    def key(self) -> str:
        return storage_key(self.uri)


def generate_model(directory: Path, name: str, size_bytes: int, *, shard_bytes: int = _SHARD_BYTES) -> Model:
    """A model in the form in which language models come, its weights noise, the same for the same name and size.

    The weights take `size_bytes`; they are split in files of at most `shard_bytes`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shards = max(1, -(-size_bytes // shard_bytes))
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file_name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        share = size_bytes // shards + (size_bytes % shards if number == 0 else 0)
        tensors = list(_tensors(share, number))
        write_safetensors(directory / file_name, tensors, seed=f"{name}/{number}")
        weight_map.update({tensor: file_name for tensor, _ in tensors})
    for file_name, content in _descriptions(size_bytes, weight_map).items():
        (directory / file_name).write_text(json.dumps(content, indent=2))
    return describe_model(directory, name)


def write_safetensors(path: Path, tensors: list[tuple[str, int]], *, seed: str) -> None:
    """One safetensors file of bfloat16 tensors (name, bytes): a header's length, the header, the numbers one by one."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, size_bytes in tensors:
        header[name] = {"dtype": "BF16", "shape": [size_bytes // 2], "data_offsets": [offset, offset + size_bytes]}
        offset += size_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as output:
        output.write(len(text).to_bytes(8, "little") + text)
        for name, size_bytes in tensors:
            # blake3 is an endless stream of noise too, and the fastest one at hand.
            output.write(blake3(f"{seed}/{name}".encode()).digest(length=size_bytes))


def describe_model(directory: Path, name: str) -> Model:
    """A directory that holds a model. Raises `InvalidInput` when it doesn't."""
    if not directory.is_dir():
        raise InvalidInput(f"--model {directory}: there is no such directory")
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    # KServe's storage initializer leaves empty files out, so the two ways would differ in them.
    files = [_digested(path, directory) for path in paths if path.stat().st_size]
    if not files:
        raise InvalidInput(f"--model {directory}: the directory holds no file with anything in it")
    return Model(
        name=name,
        directory=str(directory),
        files=tuple(file.path for file in files),
        bytes_total=sum(file.size_bytes for file in files),
        digest=tree_digest(files),
    )


def upload(models: list[Model], environment: dict[str, str]) -> None:
    """Put the models into S3. Blocks: call it in a thread."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    client.create_bucket(Bucket=BUCKET)
    with concurrent.futures.ThreadPoolExecutor(_UPLOADS) as pool:
        waiting = [
            pool.submit(client.upload_file, str(Path(model.directory, name)), BUCKET, f"{model.name}/{name}")
            for model in models
            for name in model.files
        ]
        for upload_ in waiting:
            upload_.result()


def _tensors(size_bytes: int, shard: int) -> Iterator[tuple[str, int]]:
    """The names and sizes of one file's tensors: even numbers of bytes that add up."""
    left, number = size_bytes - size_bytes % 2, 0
    while left > 0:
        size = min(left, _TENSOR_BYTES)
        yield f"model.layers.{shard}.block.{number}.weight", size
        left, number = left - size, number + 1


def _descriptions(size_bytes: int, weight_map: dict[str, str]) -> dict[str, Any]:
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "num_hidden_layers": len(set(weight_map.values())),
            "vocab_size": 32000,
        },
        "generation_config.json": {"do_sample": True, "temperature": 0.6},
        "model.safetensors.index.json": {"metadata": {"total_size": size_bytes}, "weight_map": weight_map},
        "tokenizer.json": {"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}},
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "model_max_length": 4096},
    }


def _digested(path: Path, directory: Path) -> DigestedFile:
    parts = []
    with path.open("rb") as content:
        while part := content.read(PART_BYTES):
            parts.append(part_digest(part))
    return DigestedFile(path.relative_to(directory).as_posix(), path.stat().st_size, file_digest(parts))
