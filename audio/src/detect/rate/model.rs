//! What each trait of a voice says for a rate. The test `refit` prints it; see `fit.rs`.

use super::Weight;
use super::traits::TRAITS;

/// Fitted to 5424 takes of the speakers that `tests/data/make_voices.py` makes for it: by espeak-ng in eighteen languages, and
/// by flite in the voices of two men.
#[rustfmt::skip]
pub(super) const MODEL: [Weight; TRAITS] = [
    Weight::of([4.728, 0.317, -0.213, 0.024]), // lowest tenth of the pitches
    Weight::of([4.998, 0.389, -0.255, 0.170]), // median pitch
    Weight::of([5.142, 0.425, -0.414, 0.177]), // highest tenth of the pitches
    Weight::of([0.817, 0.124, 0.139, -0.183]), // share of what is loud that has a pitch
    Weight::of([0.129, 0.097, 0.816, -0.017]), // share of what is loud that is noise
    Weight::of([-1.340, 0.161, -0.811, -0.201]), // pace of the level's ups and downs
    Weight::of([0.835, 0.401, -0.382, -0.210]), // shape of the voiced spectrum, 1: tilt
    Weight::of([0.434, 0.401, 0.802, -0.308]), // shape, 2
    Weight::of([-0.172, 0.261, 0.200, -0.293]), // shape, 3
    Weight::of([-0.146, 0.235, 0.436, -0.159]), // shape, 4
    Weight::of([-0.064, 0.156, -0.363, -0.112]), // shape, 5
    Weight::of([-0.157, 0.185, -0.604, 0.102]), // shape, 6
    Weight::of([0.053, 0.133, -0.016, -0.113]), // shape, 7
    Weight::of([-0.070, 0.135, -0.012, -0.075]), // shape, 8: finest
    Weight::of([0.775, 0.363, 0.790, 0.035]), // spread of the level
    Weight::of([-1.107, 0.534, 0.559, 0.044]), // spread of shape 1
    Weight::of([-0.667, 0.614, 1.977, 0.124]), // spread, 2
    Weight::of([-1.167, 0.626, 0.279, -0.072]), // spread, 3
    Weight::of([-1.462, 0.672, -0.671, 0.005]), // spread, 4
    Weight::of([-2.162, 0.689, -1.073, 0.193]), // spread, 5
    Weight::of([-2.450, 0.636, -0.638, 0.127]), // spread, 6
    Weight::of([-2.689, 0.632, 0.058, 0.035]), // spread, 7
    Weight::of([-2.986, 0.658, -0.325, -0.097]), // spread, 8
    Weight::of([1.089, 0.461, -0.275, -0.152]), // movement of the level within 40 ms
    Weight::of([-1.258, 0.507, -0.557, -0.063]), // movement of shape 1
    Weight::of([-0.993, 0.605, -0.905, -0.312]), // movement, 2
    Weight::of([-1.236, 0.607, 0.222, -0.069]), // movement, 3
    Weight::of([-1.471, 0.634, 1.740, 0.096]), // movement, 4
    Weight::of([-2.012, 0.614, 0.519, -0.141]), // movement, 5
    Weight::of([-2.241, 0.600, 0.545, 0.010]), // movement, 6
    Weight::of([-2.518, 0.601, 0.128, 0.005]), // movement, 7
    Weight::of([-2.792, 0.617, 0.585, 0.273]), // movement, 8
];

/// Likelihood where no voice is heard.
pub(super) const NO_VOICE: f32 = -9.62;
