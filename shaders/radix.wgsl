// What the passes radix_count and radix_move of a radix sort share.
#import dispatch
struct Params {
    items: u32, shift: u32, digits: u32, block: u32,
    blocks: u32, numbered: u32, unused0: u32, unused1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;

const GROUP = 128u;

fn digit_of(key: u32) -> u32 {
    return (key >> params.shift) & (params.digits - 1u);
}
