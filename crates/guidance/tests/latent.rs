//! The networks of latent diffusion against Hugging Face's, for two tiny models that `latent/reference.py` made.

#[path = "latent/reference.rs"]
mod reference;

use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_guidance::latent::{Ask, Autoencoder, Denoiser, TextEncoder};
use lumigrad_testkit::{Check, devices, real};
use reference::{MODELS, array, compare, folder, input};
use std::path::Path;
use std::sync::LazyLock;

/// The texts of the script.
static TEXTS: LazyLock<[String; 5]> = LazyLock::new(|| {
    let long = vec!["the red chair"; 40].join(" ");
    [
        "a Red chair, isn't it?".into(),
        String::new(),
        "caf\u{e9} number 2048 \u{2014} naïve!!".into(),
        long,
        "x<|endoftext|>Y <|EndOfText|>  z!\t\u{c5}ngstro\u{308}m\u{4e2d}\u{6587} \u{bd} \u{39f}\u{394}\u{39f}\u{3a3} I'LL".into(),
    ]
});

fn constants(parameters: &[Tensor]) -> Vec<Var> {
    parameters.iter().cloned().map(Var::from).collect()
}

#[test]
fn texts_become_the_tokens_and_states_of_transformers() {
    for model in MODELS {
        let encoder = TextEncoder::open(&folder().join(model), &Device::cpu()).unwrap();
        let expected = array(model, "tokens");
        for (text, row) in TEXTS.iter().zip(expected.data.chunks_exact(77)) {
            let row: Vec<u32> = row.iter().map(|&k| k as u32).collect();
            assert_eq!(encoder.tokens(text), row, "{model}: {text:?}");
        }
        for device in devices("text encoder") {
            let texts: Vec<&str> = TEXTS.iter().map(String::as_str).collect();
            compare(&encoder.encode(&texts, &device).unwrap(), model, "states");
        }
    }
}

#[test]
fn words_are_found_among_the_tokens_of_a_text() {
    let encoder = TextEncoder::open(&folder().join("sd1"), &Device::cpu()).unwrap();
    // "red" is one token, "a" another, "chair" one; "desk" has no merges.
    assert_eq!(encoder.words("a red chair", "Chair"), [3]);
    assert_eq!(encoder.words("a red chair, red desk", "red"), [2, 5]);
    assert_eq!(encoder.words("red desk", "desk"), [2, 3, 4, 5]);
    assert_eq!(encoder.words("a red chair", "red chair"), [2, 3]);
    assert!(encoder.words("a red chair", "lamp").is_empty());
    assert!(encoder.words("a red chair", " ").is_empty());
    // A word of any length does not take forever.
    assert_eq!(encoder.tokens(&"x".repeat(10_000_000)).len(), 77);
    // Those that are cut off are nowhere.
    assert_eq!(encoder.words(&TEXTS[3], "chair").len(), 25);
}

#[test]
fn the_denoiser_gives_the_results_and_the_gradient_of_diffusers() {
    for model in MODELS {
        for device in devices("denoiser") {
            let network = Denoiser::open(&folder().join(model), &device).unwrap();
            let p = constants(network.parameters());
            let told = Var::from(input(model, "states", &device)).slice(0, 0, 2).unwrap().slice(1, 0, 12).unwrap();
            let steps = &array(model, "steps").data;
            let tape = Tape::new();
            let x = tape.variable(input(model, "x", &device));
            let y = network.apply(&p, &x, steps, &told, &Ask::default()).unwrap();
            compare(y.tensor(), model, "y");
            let mut gradients = tape.backward_with(&y, input(model, "pull", &device)).unwrap();
            compare(&gradients.take(&x).unwrap(), model, "by_x");
        }
    }
}

#[test]
fn the_denoiser_shares_and_keeps_attention_as_the_processors_of_diffusers_do() {
    for model in MODELS {
        for device in devices("attention of the denoiser") {
            let network = Denoiser::open(&folder().join(model), &device).unwrap();
            let (p, x) = (constants(network.parameters()), Var::from(input(model, "x", &device)));
            let told = Var::from(input(model, "states", &device)).slice(0, 0, 2).unwrap().slice(1, 0, 12).unwrap();
            let steps = &array(model, "steps").data;
            let ask = Ask::attention();
            compare(network.apply(&p, &x, steps, &told, &ask).unwrap().tensor(), model, "y");
            let seen = ask.seen();
            // One layer on the way down, one in the middle, two on the way up.
            assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [[8, 12], [4, 6], [8, 12], [8, 12]]);
            for (k, (_, weights)) in seen.iter().enumerate() {
                compare(weights, model, &format!("seen{k}"));
            }
            let together = network.apply(&p, &x, steps, &told, &Ask::together()).unwrap();
            compare(together.tensor(), model, "y_together");
        }
    }
}

#[test]
fn one_step_and_one_context_are_those_of_all_pictures() {
    let network = Denoiser::open(&folder().join("sd1"), &Device::cpu()).unwrap();
    let (p, x) = (constants(network.parameters()), Var::from(input("sd1", "x", &Device::cpu())));
    let told = Var::from(input("sd1", "states", &Device::cpu())).slice(0, 0, 1).unwrap();
    let both = lumigrad_core::ops::concat(&[&told, &told], 0).unwrap();
    let run = |steps: &[f64], told: &Var, ask: Ask| {
        let y = network.apply(&p, &x, steps, told, &ask).unwrap().tensor().to_vec::<f32>().unwrap();
        let seen = ask.seen().into_iter().flat_map(|(_, w)| w.to_vec::<f32>().unwrap());
        y.into_iter().chain(seen).collect::<Vec<_>>()
    };
    for ask in [Ask::default, Ask::attention, Ask::together] {
        let (one, each) = (run(&[400.0], &told, ask()), run(&[400.0, 400.0], &both, ask()));
        assert_eq!(one.len(), each.len());
        one.iter().zip(&each).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} and {b}"));
    }
}

#[test]
fn the_autoencoder_gives_the_results_and_the_gradient_of_diffusers() {
    for model in MODELS {
        for device in devices("autoencoder") {
            let network = Autoencoder::open(&folder().join(model), &device).unwrap();
            assert_eq!(network.factor(), 2);
            let p = constants(network.parameters());
            let tape = Tape::new();
            let picture = tape.variable(input(model, "picture", &device));
            let latents = network.encode(&p, &picture).unwrap();
            compare(latents.tensor(), model, "latents");
            let mut gradients = tape.backward_with(&latents, input(model, "latents_pull", &device)).unwrap();
            compare(&gradients.take(&picture).unwrap(), model, "by_picture");
            let decoded = network.decode(&p, &input(model, "latents", &device).into()).unwrap();
            compare(decoded.tensor(), model, "decoded");
        }
    }
}

#[test]
fn blocks_that_run_again_have_the_same_gradients() {
    let network = Autoencoder::open(&folder().join("sd1"), &Device::cpu()).unwrap();
    // As many pixels as it takes, thin so that attention sees few of them.
    let picture = real(&[64, 64, 32, 3], 1).cast(DType::F32).unwrap();
    let gradient = |recorded: bool| {
        let tape = Tape::new();
        let x = tape.variable(picture.clone());
        // With recorded parameters everything is kept.
        let all = network.parameters().iter().cloned();
        let p: Vec<Var> = all.map(|t| if recorded { tape.variable(t) } else { t.into() }).collect();
        let y = network.encode(&p, &x).unwrap();
        tape.backward_with(&y, y.tensor().clone()).unwrap().take(&x).unwrap().to_vec::<f32>().unwrap()
    };
    assert_eq!(gradient(false), gradient(true));
}

/// Parameters in f64.
fn wide(parameters: &[Tensor]) -> impl Iterator<Item = Tensor> + '_ {
    parameters.iter().map(|t| t.cast(DType::F64).unwrap())
}

// Both devices are compared with the reference above, in values and gradients: here only finite differences in f64 count.
#[test]
fn the_networks_have_right_derivatives_by_inputs_and_parameters() {
    let denoiser = Denoiser::open(&folder().join("sd2"), &Device::cpu()).unwrap();
    let mut inputs = vec![real(&[1, 4, 6, 4], 1), real(&[1, 5, 8], 2)];
    inputs.extend(wide(denoiser.parameters()));
    Check::new("denoiser", |x| Ok(vec![denoiser.apply(&x[2..], &x[0], &[321.0], &x[1], &Ask::default()).unwrap()]))
        .cpu_only()
        .f32_tolerance(2e-3)
        .run(&inputs);
    let autoencoder = Autoencoder::open(&folder().join("sd2"), &Device::cpu()).unwrap();
    for encodes in [true, false] {
        let mut inputs = vec![if encodes { real(&[1, 8, 6, 3], 3) } else { real(&[1, 3, 4, 4], 4) }];
        inputs.extend(wide(autoencoder.parameters()));
        let run = |x: &[Var]| {
            if encodes { autoencoder.encode(&x[1..], &x[0]) } else { autoencoder.decode(&x[1..], &x[0]) }
        };
        Check::new("autoencoder", |x| Ok(vec![run(x).unwrap()])).cpu_only().f32_tolerance(2e-3).run(&inputs);
    }
}

#[test]
fn adaptable_parameters_are_the_projections_of_attention() {
    let network = Denoiser::open(&folder().join("sd1"), &Device::cpu()).unwrap();
    let names: Vec<&str> = network.names().collect();
    let chosen: Vec<&str> = network.adaptable().iter().map(|&k| names[k]).collect();
    // Four transformers of two attentions of four layers each.
    assert_eq!(chosen.len(), 32);
    let known = ["to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"];
    assert!(chosen.iter().all(|name| known.iter().any(|k| name.ends_with(k))), "{chosen:?}");
    assert!(network.adaptable().iter().all(|&k| network.parameters()[k].shape().len() == 2));
}

/// A copy of sd1 that a test may break.
fn copied() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["tokenizer", "text_encoder", "unet", "vae"] {
        std::fs::create_dir(copy.path().join(part)).unwrap();
        for entry in std::fs::read_dir(folder().join("sd1").join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(part).join(entry.file_name())).unwrap();
        }
    }
    copy
}

fn edit(path: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{path:?} has no {old}");
    std::fs::write(path, text.replace(old, new)).unwrap();
}

fn refusal<T>(result: lumigrad_guidance::Result<T>, words: &[&str]) {
    let error = result.err().expect("refused").to_string();
    assert!(words.iter().all(|w| error.contains(w)), "{error}");
}

#[test]
fn broken_weights_are_refused_by_name() {
    let copy = copied();
    let (cpu, weights) = (Device::cpu(), copy.path().join("unet/diffusion_pytorch_model.safetensors"));
    let whole = std::fs::read(&weights).unwrap();
    for cut in [0, 5, 100, whole.len() - 1] {
        std::fs::write(&weights, &whole[..cut]).unwrap();
        refusal(Denoiser::open(copy.path(), &cpu), &["diffusion_pytorch_model.safetensors", "cut off"]);
    }
    // Under the other name they are found, too.
    std::fs::remove_file(&weights).unwrap();
    refusal(Denoiser::open(copy.path(), &cpu), &["no weights", "diffusion_pytorch_model.safetensors"]);
    std::fs::write(copy.path().join("unet/diffusion_pytorch_model.fp16.safetensors"), &whole).unwrap();
    assert!(Denoiser::open(copy.path(), &cpu).is_ok());
    // What the configuration says is not what is there.
    let config = copy.path().join("unet/config.json");
    edit(&config, "\"cross_attention_dim\": 8", "\"cross_attention_dim\": 12");
    refusal(Denoiser::open(copy.path(), &cpu), &["attn2.to_k.weight", "[4, 8]", "[4, 12]"]);
    edit(&config, "\"cross_attention_dim\": 12", "\"cross_attention_dim\": 8");
    edit(&config, "\"layers_per_block\": 1", "\"layers_per_block\": 2");
    refusal(Denoiser::open(copy.path(), &cpu), &["no tensor", "down_blocks.0.resnets.1"]);
    // Files that an index names.
    let index = copy.path().join("vae/diffusion_pytorch_model.safetensors.index.json");
    std::fs::rename(copy.path().join("vae/diffusion_pytorch_model.safetensors"), copy.path().join("vae/x.bin"))
        .unwrap();
    for (file, words) in [("../vae/x.bin", "a file beside it"), ("y.bin", "y.bin"), ("x.bin", "")] {
        std::fs::write(&index, format!("{{\"weight_map\": {{\"conv_in.weight\": \"{file}\"}}}}")).unwrap();
        match words {
            "" => assert!(Autoencoder::open(copy.path(), &cpu).is_ok()),
            words => refusal(Autoencoder::open(copy.path(), &cpu), &[words]),
        }
    }
}

#[test]
fn networks_of_other_kinds_are_refused_by_key() {
    for (part, old, new, words) in [
        ("unet", "\"class_embed_type\": null", "\"class_embed_type\": \"timestep\"", "class_embed_type"),
        ("unet", "\"addition_embed_type\": null", "\"addition_embed_type\": \"text_time\"", "addition_embed_type"),
        ("unet", "\"DownBlock2D\"", "\"AttnDownBlock2D\"", "AttnDownBlock2D"),
        ("unet", "\"norm_num_groups\": 2", "\"norm_num_groups\": 3", "norm_num_groups"),
        ("unet", "\"attention_head_dim\": 2", "\"attention_head_dim\": 3", "attention_head_dim"),
        ("unet", "\"attention_head_dim\": 2", "\"attention_head_dim\": \"two\"", "of another kind"),
        ("unet", "\"layers_per_block\": 1", "\"layers_per_block\": 1000000000", "expected 1 to 16"),
        ("unet", "\"sample_size\": 8", "\"sample_size\": 8, \"surprise\": 1", "surprise"),
        ("vae", "\"act_fn\": \"silu\"", "\"act_fn\": \"relu\"", "relu"),
        ("vae", "\"latents_mean\": null", "\"latents_mean\": [1.0]", "latents_mean"),
        ("text_encoder", "\"hidden_act\": \"quick_gelu\"", "\"hidden_act\": \"relu\"", "relu"),
        ("text_encoder", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "3 attention heads"),
        ("tokenizer", "<|endoftext|>", "<|end|>", "<|end|>"),
    ] {
        let copy = copied();
        let file = if part == "tokenizer" {
            "tokenizer/special_tokens_map.json".into()
        } else {
            format!("{part}/config.json")
        };
        edit(&copy.path().join(file), old, new);
        match part {
            "unet" => refusal(Denoiser::open(copy.path(), &Device::cpu()), &[words, "config.json"]),
            "vae" => refusal(Autoencoder::open(copy.path(), &Device::cpu()), &[words, "config.json"]),
            _ => refusal(TextEncoder::open(copy.path(), &Device::cpu()), &[words]),
        }
    }
    for part in ["tokenizer", "text_encoder", "unet", "vae"] {
        let copy = copied();
        std::fs::remove_dir_all(copy.path().join(part)).unwrap();
        match part {
            "unet" => refusal(Denoiser::open(copy.path(), &Device::cpu()), &["unet"]),
            "vae" => refusal(Autoencoder::open(copy.path(), &Device::cpu()), &["vae"]),
            part => refusal(TextEncoder::open(copy.path(), &Device::cpu()), &[part]),
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (path, cpu) = (folder().join("sd1"), Device::cpu());
    let denoiser = Denoiser::open(&path, &cpu).unwrap();
    let p = constants(denoiser.parameters());
    let zeros = |shape: &[usize]| Var::from(Tensor::zeros(&cpu, DType::F32, shape).unwrap());
    let run = |p: &[Var], x: &[usize], steps: &[f64], told: &[usize]| {
        denoiser.apply(p, &zeros(x), steps, &zeros(told), &Ask::default())
    };
    refusal(run(&p, &[1, 7, 8, 4], &[1.0], &[1, 77, 8]), &["multiples of 2"]);
    refusal(run(&p, &[3, 8, 8, 4], &[1.0, 2.0], &[1, 77, 8]), &["steps", "1 or 3"]);
    refusal(run(&p, &[3, 8, 8, 4], &[1.0], &[2, 77, 8]), &["context", "1 or 3"]);
    refusal(run(&p[1..], &[1, 8, 8, 4], &[1.0], &[1, 77, 8]), &["parameters"]);
    let autoencoder = Autoencoder::open(&path, &cpu).unwrap();
    let p = constants(autoencoder.parameters());
    refusal(autoencoder.encode(&p, &zeros(&[1, 15, 16, 3])), &["multiples of 2"]);
    refusal(autoencoder.decode(&p, &zeros(&[1, 8, 8, 3])), &["[n, height, width, 4]"]);
    let encoder = TextEncoder::open(&path, &cpu).unwrap();
    let p = constants(encoder.parameters());
    refusal(encoder.apply(&p, &[vec![1 << 30]]), &["known tokens"]);
    refusal(encoder.apply(&p, &[vec![1; 78]]), &["1 to 77"]);
}
