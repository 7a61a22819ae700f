"""An interpreter that has the reference implementation: the one that runs, or one in target/pytorch (about 5 GB with
the parts of PyTorch's package that a CPU does not use)."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ["torch==2.15.*", "transformers==5.23.*", "peft==0.21.*", "pillow", "safetensors"]


def interpreter(given=None):
    """The path of one; made where there is none yet."""
    if given:
        return given
    if all(importlib.util.find_spec(name) for name in ["torch", "transformers", "peft", "PIL", "safetensors"]):
        return sys.executable
    home = ROOT / "target" / "pytorch"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def threads():
    """As many for both sides, without settings that slow NumPy down."""
    count = os.environ.get("RAYON_NUM_THREADS", str(os.cpu_count()))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    return kept | {"RAYON_NUM_THREADS": count, "OMP_NUM_THREADS": count}
