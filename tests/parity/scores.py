"""Scores of a whole prompt by this program and by the real libraries, for the scripts beside this one."""

import json
import pathlib
import subprocess
import sys

import torch
import transformers
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIVR = ROOT / "target/release/livr"
sys.path.insert(0, str(ROOT / "tests/fixtures"))
from make_cases import mask4d, roles  # noqa: E402


def model_class(base):
    name = json.loads((base / "config.json").read_text())["architectures"][0]
    return getattr(transformers, name)


def ours(base, adapter, images, prompt, mask, work):
    """[T, V] scores by `livr trace`."""
    trace = work / "trace.safetensors"
    which = ["--model", base, *(["--adapter", adapter] if adapter else [])]
    subprocess.run([LIVR, "trace", *which, "--image", *images, "--prompt", prompt, "--mask", mask, "--dtype", "f32",
                    "--logits", "full", "--max-new-tokens", "1", "--out", trace], check=True, stdout=subprocess.DEVNULL)
    return load_file(trace)["logits"]


def theirs(base, adapter, images, prompt, mask):
    """[T, V] scores by transformers, with the adapter opened by PEFT."""
    model = model_class(base).from_pretrained(base, attn_implementation="eager", dtype=torch.float32)
    described = (adapter or base) / "livr.json"
    livr = json.loads(described.read_text()) if described.exists() else None
    has_peft = adapter and (adapter / "adapter_config.json").exists()
    if has_peft:
        # Nothing but PEFT: the rows of the latents come with the adapter.
        model = PeftModel.from_pretrained(model, adapter)
    elif adapter:
        rows = load_file(adapter / "latent_rows.safetensors")
        with torch.no_grad():
            model.get_input_embeddings().weight[rows["token_ids"]] = rows["latent_rows"]
    model.eval()
    tk = transformers.PreTrainedTokenizerFast.from_pretrained(base)
    latents = livr["latent_tokens"] if livr else []
    special = list(getattr(tk, "additional_special_tokens", []))
    tk.add_special_tokens({"additional_special_tokens": special + latents}, replace_extra_special_tokens=False)
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    ip = Qwen2VLImageProcessorPil.from_pretrained(base)
    enc = ip(images=[Image.open(path).convert("RGB") for path in images], return_tensors="pt")
    grid = enc["image_grid_thw"]
    block = "".join(latents) + livr["separator"] if latents else ""
    in_turn = bool(latents) and livr["placement"] == "user_suffix"
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": prompt + block * in_turn}]
    tk.chat_template = (base / "chat_template.jinja").read_text()
    text = tk.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    for g in grid:
        text = text.replace("<|image_pad|>", "<|PLACE|>" * int(g.prod() // 4), 1)
    text = text.replace("<|PLACE|>", "<|image_pad|>")
    if not in_turn:
        text += block
    ids = tk(text, add_special_tokens=False)["input_ids"]
    image_id = tk.convert_tokens_to_ids("<|image_pad|>")
    lids = set(tk.convert_tokens_to_ids(latents)) if latents else set()
    t = torch.tensor([ids])
    mm = (t == image_id).int()
    core = model.base_model.model if has_peft else model
    pos, _ = core.model.get_rope_index(t, mm_token_type_ids=mm, image_grid_thw=grid)
    with torch.no_grad():
        o = model(input_ids=t, attention_mask=mask4d(roles(ids, image_id, lids, len(ids)), mask.replace("-", "_")), position_ids=pos,
                  pixel_values=enc["pixel_values"], image_grid_thw=grid, mm_token_type_ids=mm, use_cache=False)
    return o.logits[0]


def compared(what, base, adapter, images, prompt, mask, work):
    """The real libraries' scores, after holding ours against them; and the largest difference, of the largest score."""
    a, b = ours(base, adapter, images, prompt, mask, work), theirs(base, adapter, images, prompt, mask)
    error = float((a - b).abs().max() / b.abs().max())
    print(f"{what} {mask}: {error:.1e}")
    assert a.shape == b.shape and error < 1e-4, (a.shape, b.shape)
    return b, error
