"""The demo's folders open in transformers and PEFT, and compute the same there: run by `make parity`.

    python tests/parity/demo_parity.py [--record]

Asks the base and each of its adapters samples of the gallery, here and there, and compares the scores of the whole
prompt. --record keeps the libraries' scores at its last position under tests/fixtures/demo, which the tests read without
the libraries.

Needs torch, transformers and peft; see tests/reference.py.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from reference import interpreter  # noqa: E402

if interpreter() != sys.executable:
    os.execv(interpreter(), [interpreter(), *sys.argv])

from safetensors.torch import save_file

from scores import compared  # noqa: E402

DEMO = ROOT / "assets/demo"
GALLERY = DEMO / "gallery"
# Of one image, of two and of three.
TASKS = ["counting", "semantic_correspondence", "jigsaw"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--record", action="store_true")
    record = arguments.parse_args().record
    samples = [json.loads(line) for line in (GALLERY / "gallery.jsonl").read_text().splitlines()]
    firsts = {task: next(sample for sample in samples if sample["task"] == task) for task in TASKS}
    adapters = sorted(path.parent for path in DEMO.glob("*/adapter_config.json"))
    worst, kept = 0.0, {}
    with tempfile.TemporaryDirectory() as work:
        for adapter in [None, *adapters]:
            name = adapter.name if adapter else "base"
            for task, sample in firsts.items():
                images = [GALLERY / image for image in sample["images"]]
                for mask in ["standard", "bottleneck"]:
                    scores, error = compared(f"{name} {task}", DEMO / "model", adapter, images, sample["prompt"], mask, pathlib.Path(work))
                    kept[f"{name}.{task}.{mask}"] = scores[-1].contiguous()
                    worst = max(worst, error)
    if record:
        folder = ROOT / "tests/fixtures/demo"
        folder.mkdir(parents=True, exist_ok=True)
        save_file(kept, str(folder / "scores.safetensors"))
    print(f"largest difference {worst:.1e} of the largest score")


if __name__ == "__main__":
    main()
