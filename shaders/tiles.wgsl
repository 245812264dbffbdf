// Tiles of both factors of a product: one workgroup of 16 × 16 makes a TILE × TILE tile of it, 4 × 4 elements per invocation, in
// steps of DEPTH along the inner dimension.
const TILE = 64u;
const DEPTH = 16u;
var<workgroup> a_tile: array<f32, 1024>; // [DEPTH, TILE]
var<workgroup> b_tile: array<f32, 1024>; // [DEPTH, TILE]
