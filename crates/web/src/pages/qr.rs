//! QR codes on pages and on paper.

use crate::Problem;
use qrcode::QrCode;

/// A QR code as one path: a square for each dark module, in units of modules, with the quiet zone of four.
#[derive(Default)]
pub(super) struct Qr {
    pub(super) size: usize,
    pub(super) path: String,
}

impl Qr {
    const QUIET: usize = 4;

    /// Of a text; one that is too long for a code is a fault of the platform.
    pub(super) fn of(text: &str) -> Result<Self, Problem> {
        let code = QrCode::new(text.as_bytes()).map_err(|error| Problem::internal(format!("QR code: {error}")))?;
        let width = code.width();
        let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == qrcode::Color::Dark);
        let squares = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + Self::QUIET, at / width + Self::QUIET));
        Ok(Self { size: width + 2 * Self::QUIET, path: squares.collect() })
    }
}
