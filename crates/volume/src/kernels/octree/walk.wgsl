
const AHEAD = 1.9073486328125e-6;

struct Ray { origin: vec3<f32>, direction: vec3<f32>, t: f32, far: f32 }

// What a ray crosses next: from where to where, and whether that is a leaf.
struct Step { start: f32, end: f32, full: bool }

fn ray_of(k: u32) -> Ray {
    var ray: Ray;
    ray.origin = vec3(origins[3u * k], origins[3u * k + 1u], origins[3u * k + 2u]);
    ray.direction = vec3(directions[3u * k], directions[3u * k + 1u], directions[3u * k + 2u]);
    let span = span_of(ray.origin, ray.direction, vec2(params.near, params.far), false);
    ray.t = span.x;
    ray.far = span.y;
    return ray;
}

fn cross_next(ray: ptr<function, Ray>) -> Step {
    let t = (*ray).t;
    let ahead = t + AHEAD * max(t, 1.0);
    let cell = cell_of((*ray).origin + ahead * (*ray).direction);
    var word = 0u;
    var level = 0u;
    while word < LEAF && level < DEEPEST {
        level++;
        word = nodes[8u * word + octant_of(cell, level)];
    }
    let side = 2.0 / f32(1u << level);
    let place = vec3<f32>(cell >> vec3(DEEPEST - level));
    var leave = (*ray).far;
    for (var a = 0u; a < 3u; a++) {
        let d = (*ray).direction[a];
        if abs(d) < STILL { continue; }
        let face = place[a] + select(0.0, 1.0, d > 0.0);
        leave = min(leave, (face * side - 1.0 - (*ray).origin[a]) / d);
    }
    let next = max(leave, ahead);
    (*ray).t = next;
    return Step(t, min(next, (*ray).far), word != EMPTY);
}
