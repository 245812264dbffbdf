// Which samples of a ray are kept: those that light reaches and that have weight. One ray per invocation.
#import dispatch
struct Params { rays: u32, threshold: f32, least: f32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;

// Whether too little light is left at an optical depth.
fn is_dark(depth: f32) -> bool { return depth > -log(params.threshold); }

// Whether a sample of optical length tau at this depth has weight.
fn has_weight(depth: f32, tau: f32) -> bool { return params.least == 0.0 || exp(-depth) * (1.0 - exp(-tau)) >= params.least; }
