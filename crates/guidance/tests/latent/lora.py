"""Makes low-rank files for the tiny models beside it, and what diffusers computes with them.

    pip install torch numpy diffusers transformers safetensors peft
    python lora.py            (writes lora/ and lora.npz beside itself)

diffusers.safetensors is what `save_lora_weights` writes of peft's adapters for sd1, with alphas in its metadata; peft.safetensors
has names of peft itself, no alphas, and sd2's projections only; kohya.safetensors and kohya2.safetensors have the names and alphas that
trainers in the manner of kohya-ss write, for sd1 and sd2, with convolutions of single pixels and layers beside attention. All are
loaded again by `load_lora_weights`, fused at a scale, and run in 64 bits.
"""

import numpy as np
import torch
import transformers.integrations.peft
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from reference import HERE, last
from safetensors.torch import save_file

SCALE = 0.7
# transformers 5.24 asks for a version of peft that is not published yet; 0.21 has all that is used here.
transformers.integrations.peft.check_peft_version = lambda *_, **__: None


def opened(name):
    from transformers import CLIPTextModel, CLIPTokenizer
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    folder = HERE / name
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    return StableDiffusionPipeline(vae, text, tokens, unet, scheduler, None, None, requires_safety_checker=False)


def draw(*shape):
    return (0.3 * torch.randn(*shape)).half().float()


def from_peft(pipe, path):
    """By diffusers itself."""
    heads = ["to_q", "to_k", "to_v", "to_out.0"]
    pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=heads, init_lora_weights=False))
    pipe.text_encoder.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    with torch.no_grad():
        for module in (pipe.unet, pipe.text_encoder):
            for name, p in module.named_parameters():
                if "lora" in name:
                    p.copy_(draw(*p.shape))
    parts = {f"{part}_lora_layers": convert_state_dict_to_diffusers(get_peft_model_state_dict(getattr(pipe, part)))
             for part in ("unet", "text_encoder")}
    from diffusers.training_utils import _collate_lora_metadata
    metadata = _collate_lora_metadata({"unet": pipe.unet, "text_encoder": pipe.text_encoder})
    for told in metadata.values():
        told["base_model_name_or_path"] = None
    StableDiffusionPipeline.save_lora_weights(path.parent, **parts, weight_name=path.name, **metadata)


def linears(module, names):
    return [(name, m) for name, m in module.named_modules() if any(name.endswith(n) for n in names) and hasattr(m, "weight")]


def plain(pipe, path):
    """Names of peft, no alphas."""
    file = {}
    for name, m in linears(pipe.unet, ["to_q", "to_out.0"]):
        file[f"unet.{name}.lora_A.weight"] = draw(2, m.weight.shape[1])
        file[f"unet.{name}.lora_B.weight"] = draw(m.weight.shape[0], 2)
    save_file(file, path)


def kohya(pipe, path):
    file = {}
    chosen = [("lora_unet", pipe.unet, ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]),
              ("lora_te", pipe.text_encoder, ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])]
    for prefix, module, names in chosen:
        for name, m in linears(module, names):
            tail = m.weight.shape[2:]
            # Whatever the library calls it today, files have this prefix.
            name = name if prefix == "lora_unet" or name.startswith("text_model") else f"text_model.{name}"
            key = f"{prefix}_{name.replace('.', '_')}"
            file[f"{key}.lora_down.weight"] = draw(2, m.weight.shape[1], *tail).half()
            file[f"{key}.lora_up.weight"] = draw(m.weight.shape[0], 2, *(1 for _ in tail)).half()
            file[f"{key}.alpha"] = torch.tensor(1.5)
    save_file(file, path)


def main():
    torch.manual_seed(11)
    reference = np.load(HERE / "reference.npz")
    (HERE / "lora").mkdir(exist_ok=True)
    out = {}
    files = [("diffusers", "sd1", from_peft), ("peft", "sd2", plain), ("kohya", "sd1", kohya), ("kohya2", "sd2", kohya)]
    for name, model, write in files:
        path = HERE / "lora" / f"{name}.safetensors"
        write(opened(model), path)
        pipe = opened(model)
        pipe.load_lora_weights(path.parent, weight_name=path.name)
        pipe.fuse_lora(lora_scale=SCALE)
        pipe.unload_lora_weights()
        tokens = torch.tensor(reference[f"{model}/tokens"][:2]).long()
        x = torch.tensor(reference[f"{model}/x"]).permute(0, 3, 1, 2).double()
        steps = torch.tensor(reference[f"{model}/steps"])
        states = pipe.text_encoder.double()(tokens)[0].detach()
        y = pipe.unet.double()(x, steps, states).sample
        out |= {f"{name}/states": states.numpy().astype(np.float32), f"{name}/y": last(y)}
        change = np.abs(out[f"{name}/states"] - reference[f"{model}/states"][:2]).max()
        print(name, path.stat().st_size, "bytes,", "states move by", change)
    np.savez_compressed(HERE / "lora.npz", **out)


if __name__ == "__main__":
    main()
