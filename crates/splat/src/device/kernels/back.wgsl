// What the kernels that go backward share: gradients of the picture, and what a splat's pixels say of its exponent.
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> picture: array<f32>;
@group(0) @binding(6) var<storage, read> grads: array<f32>;

struct Back {
    // Gradients by red, green, blue and depth of the four pixels.
    g0: vec4<f32>,
    g1: vec4<f32>,
    g2: vec4<f32>,
    g3: vec4<f32>,
    // Products of the gradients with what is still to come, the transmittance behind all included.
    rest: vec4<f32>,
}

fn back(first: vec2<u32>) -> Back {
    var g = array<vec4<f32>, 4>();
    var rest = vec4(0.0);
    for (var k = 0u; k < 4u; k++) {
        let p = pixel(first, k);
        if inside(p) {
            let at = (p.y * params.width + p.x) * 5u;
            g[k] = vec4(grads[at], grads[at + 1u], grads[at + 2u], grads[at + 3u]);
            rest[k] = dot(g[k], vec4(picture[at], picture[at + 1u], picture[at + 2u], picture[at + 3u]))
                + grads[at + 4u] * picture[at + 4u];
        }
    }
    return Back(g[0], g[1], g[2], g[3], rest);
}

// Products of the gradients with a splat's colour and depth.
fn shades(b: Back, rgbd: vec4<f32>) -> vec4<f32> {
    return vec4(dot(b.g0, rgbd), dot(b.g1, rgbd), dot(b.g2, rgbd), dot(b.g3, rgbd));
}

// Derivatives by the negative natural exponent of a splat; `rest` is what comes behind it.
fn by_exponent(c: Cover, left: vec4<f32>, shade: vec4<f32>, rest: vec4<f32>) -> vec4<f32> {
    let by_alpha = left * shade - rest / (1.0 - c.alpha);
    return select(vec4(0.0), -c.alpha * by_alpha, c.drawn & (c.raw < vec4(0.99)));
}

