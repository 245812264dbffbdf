use super::*;
use lumigrad_core::ops::random::uniform;

const CUBE: Lattice = Lattice { size: [3, 3, 3] };

fn random_split(seed: u64) -> Split {
    let number = |k: u64| uniform(seed, k);
    Split {
        lattice: CUBE,
        outside: (0..27).map(number).collect(),
        inside: (27..54).map(number).collect(),
        links: (0..27).map(|k| [54, 81, 108].map(|first| 0.4 * number(first + k))).collect(),
    }
}

/// The cheapest labelling where some corners are given, by trying all.
fn tried(split: &Split, free: &[usize]) -> (f64, Vec<bool>) {
    let must: Vec<bool> =
        split.inside.iter().zip(&split.outside).map(|(i, o)| o.is_infinite() && i.is_finite()).collect();
    let label = |code: u32| {
        let mut labels = must.clone();
        free.iter().enumerate().for_each(|(bit, &k)| labels[k] = code >> bit & 1 == 1);
        labels
    };
    let costs = (0..1u32 << free.len()).map(|code| (split.cost(&label(code)), code));
    let (cost, code) = costs.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    (cost, label(code))
}

#[test]
fn minimum_cut_equals_brute_force_on_three_cubed() {
    for seed in 0..12 {
        let mut split = random_split(seed);
        // Eleven corners are given, so that the rest can be tried.
        for k in 0..27usize {
            match k % 5 {
                0 if k < 15 => split.outside[k] = f64::INFINITY,
                1 | 3 if k > 5 && k < 24 => split.inside[k] = f64::INFINITY,
                _ => {}
            }
        }
        let free: Vec<usize> =
            (0..27).filter(|&k| split.inside[k].is_finite() && split.outside[k].is_finite()).collect();
        assert!(free.len() < 20, "{}", free.len());
        let (least, labels) = tried(&split, &free);
        let found = split.cheapest().unwrap();
        assert!((split.cost(&found) - least).abs() < 1e-6, "{} {least}", split.cost(&found));
        assert_eq!(found, labels);
    }
}

#[test]
fn without_links_every_corner_takes_its_cheaper_side() {
    let mut split = random_split(99);
    split.links.fill([0.0; 3]);
    let cheaper: Vec<bool> = split.inside.iter().zip(&split.outside).map(|(i, o)| i < o).collect();
    assert_eq!(split.cheapest().unwrap(), cheaper);
}

#[test]
fn a_wall_of_weak_links_is_where_the_cut_goes() {
    let lattice = Lattice::new([24, 20, 16]).unwrap();
    let n = lattice.len();
    let (mut outside, mut inside) = (vec![0.0; n], vec![0.0; n]);
    outside[0] = f64::INFINITY;
    inside[n - 1] = f64::INFINITY;
    let links = (0..n).map(|k| if k % 24 == 9 { [0.01, 1.0, 1.0] } else { [1.0; 3] }).collect();
    let split = Split { lattice, outside, inside, links };
    // Three links around a corner cost 3, the wall 0.01 · 320 = 3.2: make it cheaper.
    let split =
        Split { links: split.links.iter().map(|l| l.map(|x| if x < 1.0 { 0.005 } else { x })).collect(), ..split };
    let found = split.cheapest().unwrap();
    assert!(found.iter().enumerate().all(|(k, inside)| *inside == (k % 24 <= 9)));
}

#[test]
fn costs_that_are_none_are_refused() {
    let broken = [
        Split { outside: vec![0.0; 5], ..random_split(1) },
        Split { inside: vec![-1.0; 27], ..random_split(1) },
        Split { inside: vec![f64::NAN; 27], ..random_split(1) },
        Split { links: vec![[f64::INFINITY; 3]; 27], ..random_split(1) },
        Split { outside: vec![f64::INFINITY; 27], inside: vec![f64::INFINITY; 27], ..random_split(1) },
    ];
    for split in broken {
        assert!(!split.cheapest().unwrap_err().to_string().is_empty());
    }
}
