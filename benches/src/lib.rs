//! Criterion benchmarks over all voxline layers; see `benches/`.
#![forbid(unsafe_code)]
