//! The shape of the picture: the sizes revision A takes, the ratios revision B takes.

use std::fmt;

use super::{Refusal, VendorError};

/// A picture size whose ratio AgentHuman renders (revision A).
///
/// The ratio is compared as an exact fraction. The vendor documents no tolerance, so sizes that are
/// only nearly 16:9 (854×480, 1366×768) are refused here rather than after the session costs money.
///
/// ```
/// use voxline_protocol::agenthuman::VideoSize;
///
/// assert_eq!(VideoSize::new(720, 1280)?.to_string(), "720×1280");
/// assert!(VideoSize::new(0, 720).is_err());
/// assert!(VideoSize::new(1700, 900).is_err(), "17:9");
/// # Ok::<(), voxline_protocol::agenthuman::Refusal>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VideoSize {
    width: u32,
    height: u32,
}

impl VideoSize {
    /// Checks a size in pixels.
    ///
    /// # Errors
    /// A side is not positive (`Invalid video dimensions`), or the ratio is none of 18:9, 16:9,
    /// 5:3, 16:10, 3:2, 4:3, 1:1 and their portrait forms (`Invalid aspect ratio`).
    pub fn new(width: i64, height: i64) -> Result<Self, Refusal> {
        let side = |value: i64| u32::try_from(value).ok().filter(|side| *side > 0);
        let (Some(w), Some(h)) = (side(width), side(height)) else {
            return Err(Refusal::new(
                VendorError::InvalidVideoDimensions,
                format!("video of {width}×{height}"),
                "use positive whole numbers of pixels, such as 1280×720",
            ));
        };
        let divisor = gcd(w, h);
        let ratio = (w.max(h) / divisor, w.min(h) / divisor);
        if LANDSCAPE.contains(&ratio) {
            return Ok(Self { width: w, height: h });
        }
        Err(Refusal::new(
            VendorError::InvalidAspectRatio,
            format!("video of {w}×{h} ({}:{})", w / divisor, h / divisor),
            "use exactly 18:9, 16:9, 5:3, 16:10, 3:2, 4:3 or 1:1, or one of them upright",
        ))
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(self) -> u32 {
        self.height
    }
}

impl Default for VideoSize {
    /// 1280×720, what the vendor takes when nothing is said.
    fn default() -> Self {
        Self { width: 1280, height: 720 }
    }
}

impl fmt::Display for VideoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}

/// The shape of the picture as revision B names it, given when the session is created.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AspectRatio {
    /// `4:3`, the default.
    #[default]
    Landscape,
    /// `3:4`.
    Portrait,
    /// `1:1`.
    Square,
}

impl AspectRatio {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Landscape => "4:3",
            Self::Portrait => "3:4",
            Self::Square => "1:1",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// Any name but the three of this revision, `16:9` among them: `Invalid aspect ratio`.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        [Self::Landscape, Self::Portrait, Self::Square]
            .into_iter()
            .find(|ratio| ratio.as_str() == name.trim())
            .ok_or_else(|| {
                Refusal::new(
                    VendorError::InvalidAspectRatio,
                    format!("aspect ratio `{name}`"),
                    "this revision of the service renders 4:3, 3:4 and 1:1 only",
                )
            })
    }
}

impl fmt::Display for AspectRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Long side to short side, reduced: AgentHuman, Best Practices, error reference.
const LANDSCAPE: [(u32, u32); 7] = [(2, 1), (16, 9), (5, 3), (8, 5), (3, 2), (4, 3), (1, 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_ratios_pass_both_ways_round() {
        for (w, h) in
            [(1440, 720), (1280, 720), (1280, 768), (1280, 800), (1080, 720), (1024, 768), (720, 720)]
        {
            assert!(VideoSize::new(w, h).is_ok(), "{w}×{h}");
            assert!(VideoSize::new(h, w).is_ok(), "{h}×{w}");
        }
    }

    #[test]
    fn every_other_size_is_refused_by_the_vendors_own_error() {
        let dimensions = VendorError::InvalidVideoDimensions;
        let ratio = VendorError::InvalidAspectRatio;
        for (w, h, error) in [
            (0, 720, &dimensions),
            (-1280, 720, &dimensions),
            (1280, i64::MAX, &dimensions),
            (1700, 900, &ratio),
            (854, 480, &ratio),
            (1366, 768, &ratio),
            (1, 3, &ratio),
        ] {
            assert_eq!(VideoSize::new(w, h).unwrap_err().error, *error, "{w}×{h}");
        }
    }

    #[test]
    fn revision_b_has_three_ratios() {
        assert_eq!(AspectRatio::parse(" 3:4").unwrap(), AspectRatio::Portrait);
        for name in ["16:9", "auto", "", "4x3"] {
            assert_eq!(
                AspectRatio::parse(name).unwrap_err().error,
                VendorError::InvalidAspectRatio,
                "{name}"
            );
        }
    }
}
