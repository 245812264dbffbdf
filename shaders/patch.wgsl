// Number d of [K, K, C] of the patch around a pixel of a convolution's result; zero where it lies outside the picture or
// between its pixels. Needs `params` and `input` of core/convolve.
fn patch_element(pixel: u32, d: u32) -> f32 {
    let tap = d / params.c;
    // Below the picture's first pixel these wrap round and are too large.
    let x = pixel % params.w_out * params.stride + tap % params.size - params.pad;
    let y = pixel / params.w_out % params.h_out * params.stride + tap / params.size - params.pad;
    let column = x / params.spread;
    let row = y / params.spread;
    if row >= params.h || column >= params.w || x % params.spread + y % params.spread != 0u { return 0.0; }
    let picture = pixel / (params.w_out * params.h_out);
    return input[((picture * params.h + row) * params.w + column) * params.c + d % params.c];
}
