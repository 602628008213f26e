"""What a verdict on documents depends on, besides the documents."""

import hashlib
import json
from pathlib import Path

from nmdc_release_ops.schema.environments.environment import SchemaEnvironment

WORKER = Path(__file__).parent.parent / "worker"
"""The room whose code judges."""
_NOT_JUDGING = "migrating"


def digest_judging(environment: SchemaEnvironment, compiled: Path) -> str:
    """The digest of everything that a verdict depends on: the compiled schema, the environment's Python and packages, and the
    code of the worker, without that which migrates.

    Args:
        compiled: file of the compiled schema of the environment's release.

    Raises:
        OSError: a file of these cannot be read.
    """
    digest = hashlib.sha256(json.dumps([str(environment.release), environment.packages], sort_keys=True).encode())
    for path in (compiled, environment.path / "pyvenv.cfg"):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for module in sorted(WORKER.rglob("*.py")):
        name = module.relative_to(WORKER)
        if name.parts[0] != _NOT_JUDGING:
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(module.read_bytes()).digest())
    return digest.hexdigest()[:16]
