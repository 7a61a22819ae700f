"""Times steps of training in PyTorch on the model and batch of `livr bench train`, random weights. Prints JSON."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import time

import torch
import transformers

args = argparse.ArgumentParser()
args.add_argument("--trained", choices=["lora", "full"], required=True)
args.add_argument("--batch", type=int, default=32)
args.add_argument("--side", type=int, default=4)
args.add_argument("--text", type=int, default=40)
args.add_argument("--steps", type=int, default=9)
args.add_argument("--attention", default="sdpa")
args = args.parse_args()
LATENTS, ANSWER = 16, 2

torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", os.cpu_count())))
torch.manual_seed(0)
shape = pathlib.Path(__file__).resolve().parents[2] / "assets/shapes/qwen3-vl-2b.json"
config = transformers.AutoConfig.for_model(**json.load(open(shape)))
text, vision = config.text_config, config.vision_config
text.vocab_size, text.hidden_size, text.intermediate_size, text.num_hidden_layers = 1024, 256, 768, 6
text.num_attention_heads, text.num_key_value_heads, text.head_dim = 8, 4, 32
text.rope_parameters = dict(text.rope_parameters, mrope_section=[6, 5, 5])
text.layer_types = ["full_attention"] * 6
vision.depth, vision.hidden_size, vision.intermediate_size, vision.num_heads = 4, 192, 576, 6
vision.out_hidden_size, vision.patch_size, vision.num_position_embeddings = 256, 14, 256
vision.deepstack_visual_indexes = [1, 3]
model = transformers.Qwen3VLForConditionalGeneration._from_config(config, attn_implementation=args.attention, dtype=torch.float32)
visual, length = args.side**2, args.side**2 + args.text
grid = torch.tensor([[1, args.side * 2, args.side * 2]] * args.batch)
patches = torch.rand(int(grid.prod(-1).sum()), 3 * 2 * 14 * 14) * 2 - 1
ids = torch.arange(args.batch * length).view(args.batch, length) * 7 % 1000
roles = ["prompt"] * 2 + ["image"] * visual + ["prompt"] * (length - 2 - visual - LATENTS - ANSWER) + ["latent"] * LATENTS + ["answer"] * ANSWER
mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
for q, of in enumerate(roles):
    if of in ("prompt", "answer"):
        mask[q, [k for k, other in enumerate(roles) if other == "image"]] = torch.finfo(torch.float32).min
mask = mask[None, None].expand(args.batch, 1, length, length)
positions = torch.arange(length).view(1, 1, length).expand(3, args.batch, length)
places = torch.zeros(args.batch, length, dtype=torch.bool)
places[:, 2 : 2 + visual] = True
core, tower = model.model.language_model, model.model.visual


def seen():
    out = tower(patches, grid_thw=grid)
    return out.pooler_output if hasattr(out, "pooler_output") else out[0], out.deepstack_features if hasattr(out, "deepstack_features") else out[1]


if args.trained == "lora":
    from peft import LoraConfig, get_peft_model

    with torch.no_grad():
        kept = seen()
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    core = get_peft_model(core, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=names))
    trained = [p for p in core.parameters() if p.requires_grad]
else:
    trained = list(model.parameters())
model.train()
optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01)
asked, targets = slice(length - ANSWER - 1, length - 1), ids[:, -ANSWER:].flatten()
times = []
for _ in range(args.steps):
    start = time.perf_counter()
    tokens, deep = kept if args.trained == "lora" else seen()
    embeddings = model.get_input_embeddings()(ids).masked_scatter(places[..., None], tokens)
    out = core(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, visual_pos_masks=places,
               deepstack_visual_embeds=deep, use_cache=False)
    logits = model.lm_head(out.last_hidden_state[:, asked]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    forward = time.perf_counter()
    optimizer.zero_grad()
    loss.backward()
    backward = time.perf_counter()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    times.append((forward - start, backward - forward, time.perf_counter() - backward))
parts = [statistics.median(t[i] for t in times) for i in range(3)]
print(json.dumps(dict(
    trained_parameters=sum(p.numel() for p in trained), forward_secs=parts[0], backward_secs=parts[1], update_secs=parts[2],
    examples_per_sec=args.batch / sum(parts), peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
)))
