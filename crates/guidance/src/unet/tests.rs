use super::{UNet, UNetConfig, features, fold, unfold};
use crate::{Condition, Level, View};
use lumigrad_core::{DType, Device, Tensor, Var, ops::random};
use lumigrad_testkit::{Check, real};

fn tiny() -> UNet {
    let config = UNetConfig {
        inputs: 2,
        outputs: 1,
        fold: 2,
        widths: vec![4, 6],
        blocks: 1,
        embedding: 8,
        attention: true,
        labels: 2,
    };
    UNet::new(config).unwrap()
}

/// Parameters away from their start, where many gradients are zero.
fn moved(net: &UNet) -> Vec<Tensor> {
    let shapes: Vec<Vec<usize>> = net.shapes().map(|(_, s)| s.to_vec()).collect();
    shapes.iter().zip(1..).map(|(s, seed)| real(s, seed)).collect()
}

fn told(n: usize, dtype: DType, device: &Device) -> Tensor {
    let levels: Vec<Level> = (0..n).map(|i| Level::flow(0.2 + 0.5 * i as f64).unwrap()).collect();
    let conditions = [Condition::label(1), Condition::null().seen_from(View { azimuth: 1.0, elevation: 0.2 })];
    features(&levels, &conditions[..n], n, 2, device, dtype).unwrap()
}

#[test]
fn the_network_has_right_derivatives_by_pictures_and_parameters() {
    let net = tiny();
    let mut inputs = vec![real(&[2, 8, 4, 2], 99), told(2, DType::F64, &Device::cpu())];
    inputs.extend(moved(&net));
    // Its f32 results come out of some thirty layers, each of which rounds.
    Check::new("U-Net", |x| Ok(vec![net.forward(&x[2..], &x[0], &x[1]).expect("shapes fit")]))
        .f32_tolerance(2e-3)
        .fixed(&[1])
        .run(&inputs);
}

#[test]
fn it_starts_as_zero_on_every_device() {
    for device in lumigrad_testkit::devices("U-Net") {
        let net = tiny();
        let p: Vec<Var> = net.start(3, &device).unwrap().into_iter().map(Var::from).collect();
        let x = random::random_normal(&device, DType::F32, &[2, 8, 8, 2], 1).unwrap();
        let y = net.forward(&p, &x.into(), &told(2, DType::F32, &device).into()).unwrap();
        assert_eq!(y.shape(), [2, 8, 8, 1]);
        assert!(y.tensor().to_vec::<f32>().unwrap().iter().all(|&y| y == 0.0));
    }
}

#[test]
fn labels_and_views_change_the_result() {
    let net = tiny();
    let p: Vec<Var> = moved(&net).into_iter().map(Var::from).collect();
    let x = Var::from(real(&[1, 4, 4, 2], 5));
    let run = |condition: Condition| {
        let told = features(&[Level::flow(0.5).unwrap()], &[condition], 1, 2, &Device::cpu(), DType::F64).unwrap();
        net.forward(&p, &x, &told.into()).unwrap().tensor().to_vec::<f64>().unwrap()
    };
    let all = [
        run(Condition::null()),
        run(Condition::label(0)),
        run(Condition::label(1)),
        run(Condition::null().seen_from(View { azimuth: 0.5, elevation: 0.0 })),
    ];
    for i in 0..4 {
        for j in 0..i {
            assert_ne!(all[i], all[j], "{i} and {j}");
        }
    }
}

#[test]
fn folding_keeps_every_number_and_is_undone() {
    let x = Var::from(real(&[2, 4, 6, 3], 1));
    let folded = fold(&x, 2).unwrap();
    assert_eq!(folded.shape(), [2, 2, 3, 12]);
    assert_eq!(folded.tensor().to_vec::<f64>().unwrap()[3], x.tensor().to_vec::<f64>().unwrap()[3]);
    assert_eq!(unfold(&folded, 2).unwrap().tensor().to_vec::<f64>().unwrap(), x.tensor().to_vec::<f64>().unwrap());
}

#[test]
fn sizes_that_no_network_has_are_refused() {
    let good = tiny().config().clone();
    for (bad, word) in [
        (UNetConfig { fold: 3, ..good.clone() }, "fold"),
        (UNetConfig { widths: vec![], ..good.clone() }, "widths"),
        (UNetConfig { widths: vec![1 << 40], ..good.clone() }, "at most"),
        (UNetConfig { blocks: 0, ..good.clone() }, "blocks"),
    ] {
        let error = UNet::new(bad).err().expect("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
    let net = tiny();
    let p: Vec<Var> = moved(&net).into_iter().map(Var::from).collect();
    let odd = net.forward(&p, &real(&[1, 6, 4, 2], 1).into(), &told(1, DType::F64, &Device::cpu()).into());
    assert!(odd.unwrap_err().to_string().contains("multiples of 4"));
}
