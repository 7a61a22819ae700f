"""Compiles every kernel for several GPUs, with NVIDIA's compiler from PyPI where none is installed.

    make kernels

Writes target/kernels/NAME.ptx and NAME.sm_XX.cubin; fails on any warning.
"""

import pathlib
import os
import shutil
import subprocess
import venv

root = pathlib.Path(__file__).resolve().parents[1]
out = root / "target" / "kernels"
out.mkdir(parents=True, exist_ok=True)
nvcc = os.environ.get("NVCC") or shutil.which("nvcc")
env = dict(os.environ)
if not nvcc:
    home = root / "target" / "nvcc"
    if not (home / "bin" / "python").exists():
        venv.create(home, with_pip=True)
    parts = ["cuda-nvcc", "nvvm", "cuda-crt", "cuda-runtime", "cuda-cccl"]
    packages = [f"nvidia-{part}==13.0.*" for part in parts]
    subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    toolkit = next((home / "lib").glob("python*/site-packages/nvidia/cu13"))
    nvcc, env["CUDA_HOME"] = toolkit / "bin" / "nvcc", str(toolkit)
for source in sorted((root / "kernels").glob("*.cu")):
    command = [nvcc, "-std=c++17", "-Werror", "all-warnings", source]
    subprocess.run([*command, "-ptx", "-arch=compute_80", "-o", out / f"{source.stem}.ptx"], check=True, env=env)
    for arch in ("sm_75", "sm_80", "sm_90", "sm_120"):
        cubin = out / f"{source.stem}.{arch}.cubin"
        subprocess.run([*command, "-cubin", f"-arch={arch}", "-o", cubin], check=True, env=env)
    print(source.name, "compiles for sm_75, sm_80, sm_90, sm_120", flush=True)
