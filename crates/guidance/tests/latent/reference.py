"""Makes two tiny latent diffusion models with random weights, and what Hugging Face's software computes with them.

    pip install torch numpy diffusers transformers safetensors
    python reference.py            (writes sd1/, sd2/ and reference.npz beside itself)

Folders are those of diffusers' save_pretrained. sd1 is built like Stable Diffusion 1 (1 × 1 convolutions around attention,
the same number of heads everywhere, the rough gelu, padding with the end of text), sd2 like Stable Diffusion 2 (linear layers
there, heads per level, exact gelu, padding with "!", velocities). Weights are rounded to 16 bits; those of sd2's U-Net are in
several files, its text encoder in bfloat16, its autoencoder in 32 bits. Names are those that files on the web have, which are
not always those of the software of the day: sd1's text encoder has a prefix, sd2's autoencoder the attention of 2022.
References are computed in 64 bits. Arrays are channels last.
"""

import json
import pathlib
import shutil
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = pathlib.Path(__file__).parent
TEXTS = ["a Red chair, isn't it?", "", "caf\u00e9 number 2048 \u2014 naïve!!", " ".join(["the red chair"] * 40),
         "x<|endoftext|>Y <|EndOfText|>  z!\t\u00c5ngstr\u006f\u0308m\u4e2d\u6587 \u00bd \u039f\u0394\u039f\u03a3 I'LL"]
MERGES = (
    "t h,th e</w>,c h,a i,ai r</w>,ch air</w>,r e,re d</w>,i s,is n</w>,n u,m b,nu mb,e r</w>,numb er</w>,Ã ©</w>,' t</w>,"
    "! !</w>,i t</w>,c a,ca f,caf Ã©</w>"
).split(",")


def bytes_to_letters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, free = {b: chr(b) for b in printable}, 256
    for b in range(256):
        if b not in letters:
            letters[b] = chr(free)
            free += 1
    return [letters[b] for b in [*printable, *(b for b in range(256) if b not in printable)]]


def tokenizer(folder, pad):
    letters = bytes_to_letters()
    # CLIP's own order: "!" is number 0.
    words = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in MERGES]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", "utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": pad, "unk_token": "<|endoftext|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return CLIPTokenizer.from_pretrained(folder), len(words)


def shaken(model, kind):
    """Weights away from where they start, exact in a type of 16 bits."""
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((p + 0.1 * torch.randn_like(p)).to(kind))
    return model.eval()


def renamed(path, rename):
    save_file({rename(name): value for name, value in load_file(path).items()}, path, {"format": "pt"})


def of_2022(name):
    for new, old in [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]:
        name = name.replace(new, old)
    return name


class Recording(AttnProcessor):
    """Keeps the weights of attention to the context, the mean over heads."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **rest):
        if encoder_hidden_states is not None:
            q = attn.head_to_batch_dim(attn.to_q(hidden_states))
            k = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
            weights = attn.get_attention_scores(q, k)
            self.kept.append(weights.reshape(-1, attn.heads, *weights.shape[1:]).mean(1))
        return super().__call__(attn, hidden_states, encoder_hidden_states, **rest)


class Together(AttnProcessor):
    """Self-attention over all pictures of the batch as if they were one."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **rest):
        if encoder_hidden_states is not None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, **rest)
        one = super().__call__(attn, hidden_states.reshape(1, -1, hidden_states.shape[-1]), None, **rest)
        return one.reshape(hidden_states.shape)


def last(x):
    return x.detach().permute(0, 2, 3, 1).numpy().astype(np.float32)


def model(name, second, out):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    tokens, words = tokenizer(folder / "tokenizer", "!" if second else "<|endoftext|>")
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=words, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, hidden_act="gelu" if second else "quick_gelu",
        bos_token_id=words - 2, eos_token_id=words - 1, pad_token_id=0 if second else words - 1,
    ))
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(2, 4) if second else 2, cross_attention_dim=8, norm_num_groups=2, use_linear_projection=second,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4) if second else (4, 8), layers_per_block=1, latent_channels=4, norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=16,
    )
    text = shaken(text, torch.bfloat16 if second else torch.float16)
    unet, vae = shaken(unet, torch.float16), shaken(vae, torch.float16)
    text.to(torch.bfloat16 if second else torch.float16).save_pretrained(folder / "text_encoder")
    unet.half().save_pretrained(folder / "unet", **({"max_shard_size": "20KB"} if second else {}))
    (vae if second else vae.half()).save_pretrained(folder / "vae")
    if second:
        renamed(folder / "vae/diffusion_pytorch_model.safetensors", of_2022)
    else:
        renamed(folder / "text_encoder/model.safetensors", lambda name: f"text_model.{name}")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type="v_prediction" if second else "epsilon",
    )
    scheduler.save_pretrained(folder / "scheduler")
    for part in (text, unet, vae):
        part.double()

    encoded = tokens(TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    out["tokens"] = encoded.numpy().astype(np.int32)
    states = text(encoded)[0].detach()
    out["states"] = states.numpy().astype(np.float32)

    draw = lambda *shape: torch.tensor(np.random.default_rng(7).normal(size=shape).astype(np.float32)).double()
    x, steps, told = draw(2, 4, 8, 12).requires_grad_(), torch.tensor([981, 37]), states[:2, :12]
    y = unet(x, steps, told).sample
    pull = draw(*y.shape).roll(1, -1)
    out |= {"x": last(x), "steps": steps.numpy(), "y": last(y), "pull": last(pull)}
    (y * pull).sum().backward()
    out["by_x"] = last(x.grad)
    kept = []
    unet.set_attn_processor(Recording(kept))
    unet(x.detach(), steps, told)
    for k, weights in enumerate(kept):
        out[f"seen{k}"] = weights.detach().numpy().astype(np.float32)
    unet.set_attn_processor(Together())
    out["y_together"] = last(unet(x.detach(), steps, told).sample)
    unet.set_attn_processor(AttnProcessor())

    picture = draw(1, 3, 16, 24).requires_grad_()
    latents = vae.encode(picture).latent_dist.mean * vae.config.scaling_factor
    pull = draw(*latents.shape).roll(1, -1)
    (latents * pull).sum().backward()
    out |= {"picture": last(picture), "latents": last(latents), "latents_pull": last(pull), "by_picture": last(picture.grad)}
    out["decoded"] = last(vae.decode(latents.detach() / vae.config.scaling_factor).sample)

    pipe = StableDiffusionPipeline(vae, text, tokens, unet, scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    start = draw(1, 4, 8, 8)
    sample = pipe(TEXTS[0], height=16, width=16, num_inference_steps=4, guidance_scale=5.0, latents=start, output_type="latent")
    out |= {"start": last(start), "sample": last(sample.images)}


if __name__ == "__main__":
    torch.manual_seed(3)
    arrays = {}
    for name, second in [("sd1", False), ("sd2", True)]:
        out = {}
        model(name, second, out)
        arrays |= {f"{name}/{key}": value for key, value in out.items()}
    np.savez_compressed(HERE / "reference.npz", **arrays)
