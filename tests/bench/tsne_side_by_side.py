"""`livr project` beside openTSNE and scikit-learn, one after the other in one run, on the same states and threads.

    make tsne-side-by-side ARGS="--points 100000"

States: the digits that scikit-learn ships, hidden states of the demo model (of its gallery, all layers but the first),
and where --points is given, that many points around 40 centres in 50 dimensions. Each map's divergence is taken here,
by one program, from openTSNE's affinities and all pairs. Needs openTSNE and scikit-learn, which are installed under
target/tsne where they are not there.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from reference import threads  # noqa: E402

NEEDED = {"numpy": "numpy", "sklearn": "scikit-learn", "openTSNE": "openTSNE", "safetensors": "safetensors"}
if not all(importlib.util.find_spec(name) for name in NEEDED):
    home = ROOT / "target" / "tsne"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED.values()], check=True)
    os.execve(python, [python, *sys.argv], threads())

import numpy as np
import openTSNE
from openTSNE import affinity, initialization
from safetensors.numpy import load_file
from sklearn.datasets import load_digits, make_blobs
from sklearn.manifold import TSNE

args = argparse.ArgumentParser()
args.add_argument("--points", type=int, default=0)
args.add_argument("--perplexity", type=float, default=30)
args.add_argument("--engine", default="cpu")
args.add_argument("--largest-sklearn", type=int, default=20_000, help="more points than these are not given to it")
args = args.parse_args()
env = threads()
jobs = int(env["RAYON_NUM_THREADS"])


def divergence(P, Y):
    """KL(P || Q) of a map, Z over all pairs."""
    Y = Y.astype(np.float64)
    P = P.tocoo()
    Z = 0.0
    for start in range(0, len(Y), 512):
        part = Y[start : start + 512]
        squares = (part**2).sum(1)[:, None] + (Y**2).sum(1)[None, :] - 2 * part @ Y.T
        Z += (1 / (1 + np.maximum(squares, 0))).sum() - len(part)
    far = ((Y[P.row] - Y[P.col]) ** 2).sum(1)
    kept = P.data > 0
    return float((P.data[kept] * (np.log(P.data[kept]) + np.log(1 + far[kept]) + np.log(Z))).sum())


def ours(X, work):
    np.save(work / "x.npy", X)
    command = [ROOT / "target/release/livr", "project", "--states", work / "x.npy", "--out", work / "map.safetensors", "--pca", "off",
               "--perplexity", str(args.perplexity), "--engine", args.engine, "--threads", str(jobs), "--json"]
    start = time.time()
    out = subprocess.run(command, check=True, stdout=-1, env=env)
    stages = json.loads(out.stdout)[0]["seconds"]
    return load_file(work / "map.safetensors")["layout"], time.time() - start, " ".join(f"{k} {v:.1f}" for k, v in stages.items())


def theirs(X, P, near_secs):
    start = time.time()
    first = initialization.pca(X, random_state=0)
    Y = openTSNE.TSNEEmbedding(first, P, negative_gradient_method="fft" if len(X) > 3000 else "bh", n_jobs=jobs, random_state=0)
    Y = Y.optimize(250, exaggeration=12, momentum=0.5, learning_rate=len(X) / 12)
    Y = Y.optimize(500, exaggeration=1, momentum=0.8, learning_rate=len(X))
    took = time.time() - start
    return np.asarray(Y), near_secs + took, f"neighbours and affinities {near_secs:.1f} map {took:.1f}"


def sklearn(X):
    start = time.time()
    Y = TSNE(perplexity=args.perplexity, init="pca", max_iter=750, n_jobs=jobs, random_state=0).fit_transform(X)
    return Y, time.time() - start, ""


def demo_states(work):
    """Hidden states of the demo model on its own samples."""
    command = [ROOT / "target/release/livr", "project", "--data", ROOT / "assets/demo/gallery/gallery.jsonl", "--layer", "all",
               "--iterations", "3", "--out", work / "demo.safetensors"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (work / "demo.states/samples.jsonl").read_text().splitlines()]
    rows = np.fromfile(work / "demo.states/states.f16", dtype=np.float16).reshape(-1, lines[0]["width"])
    kept, at = [], 0
    for line in lines:
        count = len(line["tokens"])
        kept.append(rows[at + count : at + count * len(line["layers"])])
        at += count * len(line["layers"])
    return np.concatenate(kept).astype(np.float32)


subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
with tempfile.TemporaryDirectory() as work:
    work = pathlib.Path(work)
    states = {"digits": load_digits().data.astype(np.float32), "demo": demo_states(work)}
    if args.points:
        states[f"{args.points} around 40 centres"] = make_blobs(args.points, 50, centers=40, cluster_std=3.0, random_state=0)[0].astype(np.float32)
    for name, X in states.items():
        start = time.time()
        method = "exact" if len(X) < 5000 else "annoy"
        P = affinity.PerplexityBasedNN(X, perplexity=args.perplexity, method=method, n_jobs=jobs, random_state=0)
        near_secs = time.time() - start
        print(f"{name}: {X.shape[0]} points of {X.shape[1]} dimensions, perplexity {args.perplexity:g}, {jobs} threads", flush=True)
        sides = {"livr": lambda: ours(X, work), "openTSNE": lambda: theirs(X, P, near_secs)}
        if len(X) <= args.largest_sklearn:
            sides["scikit-learn"] = lambda: sklearn(X)
        for side, run in sides.items():
            Y, secs, stages = run()
            print(f"  {side:14} {secs:8.1f} s   KL {divergence(P.P, Y):.4f}   {stages}", flush=True)
