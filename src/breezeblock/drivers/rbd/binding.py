"""Ceph's Python modules `rados` and `rbd`, which no package index has: Debian's load into any CPython of their version."""

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import Any

from breezeblock.errors import ConfigError

DIRECTORIES = ("/usr/lib/python3/dist-packages", "/usr/lib64/python3/site-packages")


def load() -> tuple[Any, Any]:
    """The modules `rados` and `rbd`. Raises `ConfigError` naming the package that has them."""
    return _load("rados"), _load("rbd")


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pass
    return _load_file(name, find(name))


def find(name: str) -> Path:
    """The file of a module of Ceph's, for this version of Python. Raises `ConfigError` naming the package that has it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for directory in (*DIRECTORIES, f"/usr/lib64/python{version}/site-packages"):
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(directory, name + suffix)
            if path.exists():
                return path
    raise ConfigError(
        f"The Python module {name} for Python {version} is not installed; it is in the Debian package python3-{name}."
    )


def _load_file(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[name]
        raise ConfigError(f"The Python module {path} cannot be loaded: {error}") from error
    return module
