// Number of an invocation's item. Launches of more than 65 535 workgroups are folded into rows along y.
fn item_index(global_id: vec3<u32>, workgroups: vec3<u32>, group_size: u32) -> u32 {
    return global_id.y * workgroups.x * group_size + global_id.x;
}

// Number of a workgroup under the same folding.
fn group_index(workgroup_id: vec3<u32>, workgroups: vec3<u32>) -> u32 {
    return workgroup_id.y * workgroups.x + workgroup_id.x;
}
