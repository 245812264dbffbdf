
// Below it a ray does not move along an axis.
const STILL = 1e-12;

// The part of a range of distances in which a ray is in the cube, or without end where space is not bounded; without a direction, or
// where the ray misses the cube, it ends before it begins.
fn span_of(origin: vec3<f32>, direction: vec3<f32>, range: vec2<f32>, unbounded: bool) -> vec2<f32> {
    var span = range;
    if all(direction == vec3(0.0)) { span.y = -1.0; }
    if unbounded { return span; }
    for (var a = 0u; a < 3u; a++) {
        let o = origin[a];
        let d = direction[a];
        if abs(d) < STILL {
            if abs(o) > 1.0 { span.y = -1.0; }
            continue;
        }
        let one = (-1.0 - o) / d;
        let two = (1.0 - o) / d;
        span = vec2(max(span.x, min(one, two)), min(span.y, max(one, two)));
    }
    return span;
}
