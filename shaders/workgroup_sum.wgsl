// The sum of a number over the 64 invocations of a workgroup, known to all of them; always added in the same order.
var<workgroup> workgroup_terms: array<f32, 64>;

fn workgroup_sum(x: f32, lane: u32) -> f32 {
    workgroupBarrier();
    workgroup_terms[lane] = x;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { workgroup_terms[lane] += workgroup_terms[lane + half]; }
        workgroupBarrier();
    }
    return workgroup_terms[0];
}
