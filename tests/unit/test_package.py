# SPDX-License-Identifier: Apache-2.0
"""What users install: the wheel, and the editable install, each in an environment of its own and from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("scikit_build_core", reason="builds the package: pip install scikit-build-core ninja cmake")

USE = """
import importlib, json, sys
from importlib import resources
from pathlib import Path
import edgesdk, edgesdk.boards, edgesdk.converters
from edgesdk import kernels, library
library.library()
assert len(kernels.table()) > 0
for package, name in [
    ("edgesdk.runtime_c", "include/ert.h"), ("edgesdk.runtime_c", "kernels/conv2d/kernels.inc"),
    ("edgesdk.boards", "cores.toml"), ("edgesdk.apps", "firmware"),
]:
    at = resources.files(package).joinpath(name)
    assert at.is_file() or at.is_dir(), (package, name)
assert len(edgesdk.boards.names()) > 5
assert edgesdk.boards.load("host").id == "host"
heavy = {"torch", "onnx", "ai_edge_litert", "tensorflow"} & set(sys.modules)
assert not heavy, heavy
print(Path(edgesdk.__file__).resolve())
"""


def environment() -> dict[str, str]:
    """This process's, without what would lead Python or edgesdk to the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "EDGESDK_LIBRARY", "LD_PRELOAD")}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def fresh_python(folder: Path) -> Path:
    """A new environment that sees the packages of this one, but not an editable edgesdk."""
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / ("python.exe" if sys.platform == "win32" else "python")
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    here = run(sys.executable, "-c", "import numpy; print(numpy.__path__[0])").strip()
    # A path in a .pth file is searched, but its own .pth files (editable installs) are not read.
    Path(site, "packages.pth").write_text(str(Path(here).parent) + "\n")
    return python


def pip(python: Path, *arguments: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--python", python, *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (built,) = folder.glob("edgesdk-*.whl")
    return built


def test_wheel_serves_every_python(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name


def test_wheel_holds_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert len(tops) == 2 and "edgesdk" in tops, tops
    assert {"edgesdk/runtime_c/FORMAT.md", "edgesdk/boards/cores.toml", "edgesdk/py.typed"} <= set(names)
    assert not [n for n in names if "__pycache__" in n or n.startswith("edgesdk/tests")]


def test_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    python = fresh_python(tmp_path / "venv")
    pip(python, "install", "--no-deps", wheel)
    where = run(python, "-c", USE, cwd=tmp_path)
    assert str(tmp_path) in where
    assert "convert" in run(python.parent / "edgesdk", "--help", cwd=tmp_path)


needs_emulator = pytest.mark.skipif(
    not shutil.which("qemu-system-arm") or not shutil.which("arm-none-eabi-gcc"),
    reason="qemu-system-arm or arm-none-eabi-gcc is not installed",
)


@needs_emulator
def test_wheel_builds_firmware(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source that firmware is made of is in the wheel: nothing of it comes from the cache."""
    models = pytest.importorskip("tflite_models", reason="ai-edge-litert is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    python = fresh_python(tmp_path / "venv")
    pip(python, "install", "--no-deps", wheel)
    (tmp_path / "net.tflite").write_bytes(models.conv_net())
    edgesdk, board = python.parent / "edgesdk", ("--board", "mps2_an386", "--json")
    planned = json.loads(run(edgesdk, "convert", "net.tflite", "-o", "net.edge", *board, cwd=tmp_path))
    profile = json.loads(run(edgesdk, "profile", "net.edge", *board, "--runs", "1", cwd=tmp_path))
    assert profile["clock"] == "instructions" and profile["arena_bytes"] == planned["arena_bytes"]
    assert list((tmp_path / "cache" / "edgesdk" / "build").glob("agent-*.o"))


def test_editable_install_reads_the_checkout(tmp_path: Path) -> None:
    python = fresh_python(tmp_path / "venv")
    pip(python, "install", "--no-deps", "--no-build-isolation", "-e", ROOT)
    where = run(python, "-c", USE, cwd=tmp_path)
    assert str(ROOT / "sdk" / "edgesdk") in where
    assert "convert" in run(python.parent / "edgesdk", "--help", cwd=tmp_path)
