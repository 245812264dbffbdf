//! Fills what nothing is known of in a picture.

/// Gives texels of a square picture [size, size, channels] that are not known the mean of what is known around them, from ever
/// farther away: no mip level and no interpolation then sees a colour that is not of the picture.
///
/// A picture of which nothing is known stays as it is. **Cost**: a few operations per number.
///
/// **Source**: the pull and push of Gortler, Grzeszczuk, Szeliski & Cohen, "The Lumigraph", 1996, §3.4.
pub fn fill_gaps(values: &mut [f32], (size, channels): (usize, usize), known: &[bool]) {
    if size < 2 || known.iter().all(|k| *k) || !known.iter().any(|k| *k) {
        return;
    }
    let half = size.div_ceil(2);
    let (mut coarse, mut seen) = (vec![0.0f32; half * half * channels], vec![false; half * half]);
    for (k, seen) in seen.iter_mut().enumerate() {
        let (x, y) = (2 * (k % half), 2 * (k / half));
        let mut count = 0;
        for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
            if x < size && y < size && known[y * size + x] {
                count += 1;
                (0..channels).for_each(|c| coarse[k * channels + c] += values[(y * size + x) * channels + c]);
            }
        }
        *seen = count > 0;
        coarse[k * channels..][..channels].iter_mut().for_each(|v| *v /= count.max(1) as f32);
    }
    fill_gaps(&mut coarse, (half, channels), &seen);
    for k in (0..size * size).filter(|&k| !known[k]) {
        let from = k / size / 2 * half + k % size / 2;
        values[k * channels..][..channels].copy_from_slice(&coarse[from * channels..][..channels]);
    }
}
