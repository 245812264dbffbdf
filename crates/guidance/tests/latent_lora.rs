//! Users' own low-rank files against diffusers, for files that `latent/lora.py` wrote.

#[path = "latent/reference.rs"]
#[allow(dead_code)] // not all of it is for this test
mod reference;

use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::{Condition, DiffusionPrior, LatentPrior, Level, Subject, open_changed};
use lumigrad_testkit::read_npz;
use reference::{TOLERANCE, array, folder, input};
use safetensors::tensor::{Dtype, TensorView};
use std::path::PathBuf;

/// The scale of the script.
const SCALE: &str = "0.7";
/// Its files, and the models that they change.
const FILES: [(&str, &str); 4] = [("diffusers", "sd1"), ("peft", "sd2"), ("kohya", "sd1"), ("kohya2", "sd2")];

fn file(name: &str) -> PathBuf {
    folder().join(format!("lora/{name}.safetensors:{SCALE}"))
}

/// ᾱ of a step, as in `latent_prior.rs`.
fn level(step: usize) -> Level {
    let beta = |i: usize| (0.00085f64.sqrt() + (0.012f64.sqrt() - 0.00085f64.sqrt()) * i as f64 / 999.0).powi(2);
    Level::variance_preserving((0..=step).map(|i| 1.0 - beta(i)).product()).unwrap()
}

/// ε̂ of a model with changes for the script's latents, steps and texts.
fn predicted(model: &str, changes: &[PathBuf]) -> Tensor {
    let prior = LatentPrior::open_changed(&folder().join(model), changes).unwrap();
    let text = |words: &str| Condition { subject: Subject::Text(words.into()), view: None };
    let wanted = [text("a Red chair, isn't it?"), text("")];
    prior.predict(&input(model, "x", &Device::cpu()), &[981, 37].map(level), &wanted).unwrap()
}

#[test]
fn files_of_diffusers_peft_and_kohya_change_predictions_as_they_do_in_diffusers() {
    let expected = read_npz(&folder().join("lora.npz"));
    for (name, model) in FILES {
        let found = predicted(model, &[file(name)]).to_f64_vec().unwrap();
        let (y, x) = (&expected[&format!("{name}/y")].data, &array(model, "x").data);
        let half = y.len() / 2;
        let noise = |k: usize| {
            let Level { a, sigma } = level(if k < half { 981 } else { 37 });
            // The second model predicts velocities.
            if model == "sd1" { y[k] } else { a * y[k] + sigma * x[k] }
        };
        let most = (0..y.len()).map(|k| noise(k).abs()).fold(0.0, f64::max);
        let error = found.iter().enumerate().map(|(k, f)| (f - noise(k)).abs()).fold(0.0, f64::max);
        assert!(error <= TOLERANCE * most, "{name}: {error} of {most}");
        let plain = predicted(model, &[]).to_f64_vec().unwrap();
        let moved = found.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(moved > 100.0 * TOLERANCE * most, "{name} changes nothing");
    }
}

#[test]
fn changes_add_up_and_can_be_taken_off() {
    let half = folder().join("lora/kohya.safetensors:0.35");
    let (whole, twice) = (predicted("sd1", &[file("kohya")]), predicted("sd1", &[half.clone(), half]));
    let none = predicted("sd1", &[file("kohya"), folder().join("lora/kohya.safetensors:-0.7")]);
    for (a, b) in [(&whole, &twice), (&none, &predicted("sd1", &[]))] {
        let (a, b) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let folder_of_test = tempfile::tempdir().unwrap();
    let path = folder_of_test.path().join("own.safetensors");
    let query = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    let refused = |tensors: &[(String, Vec<usize>)]| {
        let bytes = vec![0u8; 4 * tensors.iter().map(|t| t.1.iter().product::<usize>()).max().unwrap()];
        let view = |shape: &Vec<usize>| {
            TensorView::new(Dtype::F32, shape.clone(), &bytes[..4 * shape.iter().product::<usize>()]).unwrap()
        };
        let file = safetensors::serialize(tensors.iter().map(|(n, s)| (n.clone(), view(s))), None).unwrap();
        std::fs::write(&path, file).unwrap();
        LatentPrior::open_changed(&folder().join("sd1"), &[&path]).err().expect("refused").to_string()
    };
    let part = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let (down, up) = (format!("{query}.lora_A.weight"), format!("{query}.lora_B.weight"));
    for (tensors, words) in [
        (vec![part("unet.what.is.this", &[2])], vec!["unet.what.is.this", "no low-rank change"]),
        (vec![part("lora_te2_x.lora_up.weight", &[2, 2])], vec!["lora_te2_x.lora_up.weight"]),
        (vec![part(&down.replace("to_q", "to_x"), &[2, 8])], vec!["attn1.to_x.lora_A.weight", "does not have"]),
        (vec![part(&down, &[2, 8])], vec!["to_q", "no way up"]),
        (vec![part(&down, &[2, 9]), part(&up, &[8, 2])], vec!["to_q.lora_A.weight", "[2, 9]", "8 columns"]),
        (vec![part(&down, &[2, 8]), part(&up, &[7, 2])], vec!["to_q.lora_B.weight", "8 rows"]),
        (vec![part(&down, &[2, 8]), part(&up, &[8, 3])], vec!["rank 2 and 3"]),
        (vec![part("lora_unet_conv_in.lora_down.weight", &[2, 4, 3, 3])], vec!["conv_in", "no linear layer"]),
    ] {
        let error = refused(&tensors);
        assert!(words.iter().all(|w| error.contains(w)) && error.contains("own.safetensors"), "{error}");
    }
    let many: Vec<_> = (0..9).map(|k| part(&format!("odd{k}"), &[1])).collect();
    assert!(refused(&many).contains("odd0, odd1, odd2 and 6 more"));
    for missing in ["nowhere.safetensors", "nowhere.safetensors:0.5", "x.safetensors:big"] {
        let error = LatentPrior::open_changed(&folder().join("sd1"), &[missing]).err().unwrap().to_string();
        assert!(error.contains(missing.split(":0.5").next().unwrap()), "{error}");
    }
    let materials = folder().join("../../../../assets/materials.safetensors");
    assert!(open_changed(&materials, &[file("kohya")]).err().unwrap().to_string().contains("latent diffusion models"));
}
