//! Linear combinations with weights per picture.

use crate::{Error, Result, of_picture};
use lumigrad_core::{CallParams, Map, Tensor, Var};

/// Σ_k w_k\[i\]·x_k for every picture i.
///
/// **Shapes**: all x_k [n, …] alike; w_k with n entries, or one for all. **Gradients**: to the x_k.
/// **Errors**: other shapes or numbers of weights.
pub fn combine(terms: &[(&Var, &[f64])]) -> Result<Var> {
    let Some((first, _)) = terms.first() else {
        return Err(Error::shape("a combination", &[0], "at least one term"));
    };
    let n = first.shape().first().copied().unwrap_or(1);
    let size = first.len() / n.max(1);
    for (k, (x, weights)) in terms.iter().enumerate() {
        if x.shape() != first.shape() {
            return Err(Error::shape(
                &format!("term {k}"),
                x.shape(),
                format!("the shape {:?} of term 0", first.shape()),
            ));
        }
        if weights.len() != 1 && weights.len() != n {
            return Err(Error::shape(
                &format!("weights of term {k}"),
                &[weights.len()],
                format!("1 or {n} (pictures)"),
            ));
        }
    }
    let inputs: Vec<&Var> = terms.iter().map(|(x, _)| *x).collect();
    if terms.iter().all(|(_, w)| w.len() == 1) {
        let map = Map::cached(&format!("guidance/combine {} uniform", terms.len()), |m| {
            let sum = (0..terms.len()).map(|k| m.item::<1>(&format!("x{k}"))[0] * m.param()).reduce(|a, b| a + b);
            m.output("sum", &[sum.expect("at least one term")]);
        });
        let params = CallParams { real: terms.iter().map(|(_, w)| w[0]).collect(), ..Default::default() };
        return Ok(map.apply_with(&inputs, params)?.remove(0).reshape(first.shape())?);
    }
    let map = Map::cached(&format!("guidance/combine {}", terms.len()), |m| {
        let size = m.int_param();
        let xs: Vec<_> = (0..terms.len()).map(|k| m.item::<1>(&format!("x{k}"))[0]).collect();
        let weights = m.table::<1>("weights");
        let row = m.index().quotient(size) * terms.len() as i32;
        let sum = xs.iter().enumerate().map(|(k, x)| *x * weights.fetch(row + k as i32)[0]).reduce(|a, b| a + b);
        m.output("sum", &[sum.expect("at least one term")]);
    });
    let table: Vec<f64> = (0..n).flat_map(|i| terms.iter().map(move |(_, w)| *of_picture(w, i))).collect();
    let table = Tensor::from_slice(&lumigrad_core::Device::cpu(), &table, &[n, terms.len()])?;
    let table = Var::from(table.cast(first.dtype())?.to_device(first.device())?);
    let inputs: Vec<&Var> = inputs.into_iter().chain([&table]).collect();
    let params = CallParams { int: vec![size.max(1) as i32], ..Default::default() };
    Ok(map.apply_with(&inputs, params)?.remove(0).reshape(first.shape())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::Device;
    use lumigrad_testkit::{Check, real};

    #[test]
    fn combinations_have_right_derivatives_on_both_devices() {
        Check::new("combine", |x| {
            Ok(vec![combine(&[(&x[0], &[0.5]), (&x[1], &[2.0, -1.0, 3.0])]).expect("shapes fit")])
        })
        .run(&[real(&[3, 2, 2], 1), real(&[3, 2, 2], 2)]);
        Check::new("combine uniform", |x| Ok(vec![combine(&[(&x[0], &[0.5]), (&x[1], &[2.0])]).expect("shapes fit")]))
            .run(&[real(&[3, 4], 1), real(&[3, 4], 2)]);
    }

    #[test]
    fn each_picture_has_its_own_weight() {
        let x = Var::from(Tensor::from_slice(&Device::cpu(), &[1.0, 2.0, 3.0, 4.0], &[2, 2]).unwrap());
        let y = combine(&[(&x, &[2.0, 10.0])]).unwrap();
        assert_eq!(y.tensor().to_vec::<f64>().unwrap(), [2.0, 4.0, 30.0, 40.0]);
        assert!(combine(&[]).is_err() && combine(&[(&x, &[1.0, 2.0, 3.0])]).is_err());
    }
}
