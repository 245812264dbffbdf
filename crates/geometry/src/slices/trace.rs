use glam::DVec2;
use std::collections::BTreeMap;

/// Closed polygons around what is at least `iso` in a picture, through the middles between pixels by linear interpolation;
/// a pixel's centre has its column and row as coordinates, and beyond the picture is outside. Pixels that touch at a
/// corner only are kept apart.
///
/// **Shapes**: `values [height, width]`, rows in order. Values that are not finite are outside.
pub fn trace(values: &[f32], width: usize, height: usize, iso: f32) -> Vec<Vec<DVec2>> {
    // Less the threshold; as far outside as the threshold is high where there is no pixel.
    let value = |x: usize, y: usize| -> f64 {
        let pixel = (1..=width).contains(&x) && (1..=height).contains(&y);
        let v = if pixel { values.get((y - 1) * width + x - 1).copied().unwrap_or(f32::NAN) } else { f32::NAN };
        if v.is_finite() { (v - iso) as f64 } else { -f64::from(iso.abs().max(f32::MIN_POSITIVE)) }
    };
    // From crossing to crossing: those between (x, y) and its neighbour to the right, or below, of the padded picture.
    let mut next: BTreeMap<[usize; 3], [usize; 3]> = BTreeMap::new();
    for (y, x) in (0..=height).flat_map(|y| (0..=width).map(move |x| (y, x))) {
        let inside = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)].map(|(x, y)| value(x, y) >= 0.0);
        let crossings = [[y, x, 0], [y, x + 1, 1], [y + 1, x, 0], [y, x, 1]];
        // Each run of corners inside is cut off: from where the way around the cell leaves it to where it entered.
        for enters in (0..4).filter(|&k| !inside[k] && inside[(k + 1) % 4]) {
            let leaves = (1..4).map(|k| (enters + k) % 4).find(|&k| inside[k] && !inside[(k + 1) % 4]);
            next.insert(crossings[leaves.expect("what is entered is left")], crossings[enters]);
        }
    }
    let point = |[y, x, down]: [usize; 3]| {
        let (a, b) = (value(x, y), value(x + 1 - down, y + down));
        let t = a / (a - b);
        DVec2::new(x as f64 + if down == 0 { t } else { 0.0 }, y as f64 + if down == 1 { t } else { 0.0 }) - 1.0
    };
    let mut polygons = vec![];
    while let Some((&first, _)) = next.first_key_value() {
        let mut polygon = vec![];
        let mut at = first;
        while let Some(to) = next.remove(&at) {
            polygon.push(point(at));
            at = to;
        }
        polygons.push(polygon);
    }
    polygons
}
