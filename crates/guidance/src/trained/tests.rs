use super::*;
use lumigrad_core::{DType, Tape};
use lumigrad_optim::{Adam, Group};

/// Pictures [n, 4, 4, 1] of four kinds: one bright quarter on dark ground.
fn pictures(n: usize) -> Tensor {
    let data: Vec<f32> = (0..n * 16)
        .map(|k| {
            let (i, y, x) = ((k / 16) as u64, k / 4 % 4, k % 4);
            let quarter = (ops::random::hash(3, i) % 4) as usize;
            if (y / 2, x / 2) == (quarter / 2, quarter % 2) { 0.8 } else { -0.4 }
        })
        .collect();
    Tensor::from_slice(&Device::cpu(), &data, &[n, 4, 4, 1]).unwrap()
}

fn small(labels: &[&str], objective: Objective) -> TrainedPrior {
    let config = UNetConfig {
        inputs: 0,
        outputs: 0,
        fold: 1,
        widths: vec![8, 12],
        blocks: 1,
        embedding: 16,
        attention: true,
        labels: 0,
    };
    let gaussian = CosineMixture::estimate(&pictures(400), 1).unwrap();
    let labels = labels.iter().map(|l| l.to_string()).collect();
    TrainedPrior::new("test", config, gaussian, labels, objective, (1, &Device::cpu())).unwrap()
}

#[test]
fn at_the_start_the_prior_is_its_gaussian_at_every_level() {
    let prior = small(&[], Objective::Iadb);
    for device in lumigrad_testkit::devices("trained prior") {
        let noisy = ops::random_normal(&device, DType::F32, &[3, 4, 4, 1], 5).unwrap();
        for level in
            [Level::variance_preserving(0.6).unwrap(), Level::new(1.0, 5.0).unwrap(), Level::flow(0.0).unwrap()]
        {
            let found = prior.predict(&noisy, &[level], &[Condition::null()]).unwrap().to_vec::<f32>().unwrap();
            let (flow, f) = level.to_flow();
            let x = ops::scale_tensor(&noisy, f).unwrap();
            let d = prior.gaussian().flow(&x, &[flow]).unwrap().to_vec::<f32>().unwrap();
            // ε = x_α − α D
            for (k, (x, d)) in x.to_vec::<f32>().unwrap().into_iter().zip(d).enumerate() {
                assert!((found[k] - (x - flow.a as f32 * d)).abs() < 1e-4, "{level:?} on {device}");
            }
        }
    }
}

#[test]
fn training_beats_the_gaussian_on_pictures_that_are_none() {
    for objective in [Objective::Iadb, Objective::NCSN] {
        let prior = small(&[], objective);
        let train = pictures(400);
        let loss_of = |values: &[Tensor]| {
            let values: Vec<Var> = values.iter().cloned().map(Var::from).collect();
            prior.loss(&values, &train, &[Condition::null()], 77).unwrap().tensor().item().unwrap()
        };
        let mut values = prior.values().to_vec();
        let before = loss_of(&values);
        let mut adam = Adam::new(prior.network().shapes().map(|(name, _)| Group::new(name, 3e-3)).collect());
        for step in 0..120 {
            let tape = Tape::new();
            let vars: Vec<Var> = values.iter().map(|v| tape.variable(v.clone())).collect();
            let batch = ops::slice_tensor(&train, 0, step % 8 * 50, step % 8 * 50 + 50).unwrap();
            let loss = prior.loss(&vars, &batch, &[Condition::null()], step as u64).unwrap();
            let mut gradients = tape.backward(&loss).unwrap();
            let gradients: Vec<_> = vars.iter().map(|v| gradients.take(v)).collect();
            drop((tape, vars));
            adam.step(&mut values.iter_mut().collect::<Vec<_>>(), &gradients, 1.0).unwrap();
        }
        let after = loss_of(&values);
        assert!(after < 0.75 * before, "{objective:?}: {after} after {before}");
    }
}

#[test]
fn files_give_the_prior_back() {
    let mut prior = small(&["cat", "dog"], Objective::NCSN);
    prior.facts_mut().insert("loss".into(), "0.1".into());
    let back = TrainedPrior::from_bytes("x", &prior.to_bytes().unwrap(), &Device::cpu()).unwrap();
    assert_eq!(back.info().labels, ["cat", "dog"]);
    assert_eq!(back.objective(), Objective::NCSN);
    assert_eq!(back.facts(), prior.facts());
    let noisy = ops::random_normal(&Device::cpu(), DType::F32, &[1, 4, 4, 1], 5).unwrap();
    let run = |p: &TrainedPrior| {
        p.predict(&noisy, &[Level::flow(0.4).unwrap()], &[Condition::label(1)]).unwrap().to_vec::<f32>().unwrap()
    };
    assert_eq!(run(&prior), run(&back));
}

#[test]
fn broken_files_are_errors_that_name_the_file() {
    let good = small(&[], Objective::Iadb).to_bytes().unwrap();
    let read = |bytes: &[u8]| TrainedPrior::from_bytes("some.safetensors", bytes, &Device::cpu());
    for bytes in [&[][..], &[0xff; 64], &good[..good.len() / 2], &good[..good.len() - 1]] {
        let error = read(bytes).err().expect("refused").to_string();
        assert!(error.starts_with("some.safetensors: "), "{error}");
    }
    // Any byte of the header may be wrong.
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for at in (0..header).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x15;
        let _ = read(&bad);
    }
    // A shape that is not the network's.
    let text =
        String::from_utf8_lossy(&good[8..header]).replace("[8,12]", "[8,16]").replace("[3,3,8,12]", "[3,3,12,8]");
    let mut bad = (text.len() as u64).to_le_bytes().to_vec();
    bad.extend(text.as_bytes());
    bad.extend(&good[header..]);
    let error = read(&bad).err().expect("refused").to_string();
    assert!(error.contains("expected F32 of shape") || error.contains("no array"), "{error}");
}

#[test]
fn what_the_prior_does_not_know_is_refused() {
    let prior = small(&["cat"], Objective::Iadb);
    let level = [Level::flow(0.5).unwrap()];
    let zeros = |shape: &[usize]| Tensor::zeros(&Device::cpu(), DType::F32, shape).unwrap();
    let other = prior.predict(&zeros(&[1, 8, 8, 1]), &level, &[Condition::null()]).unwrap_err();
    assert!(other.to_string().contains("expected [n, 4, 4, 1]"), "{other}");
    assert!(prior.predict(&zeros(&[1, 4, 4, 1]), &level, &[Condition::label(3)]).is_err());
    assert!(prior.info().condition("cot").unwrap_err().to_string().contains("did you mean \"cat\""));
}
