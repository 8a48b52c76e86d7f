//! QR codes for a terminal.

use std::fmt::Write as _;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

/// A QR code of half blocks. On a terminal it is black on white, whatever the terminal's colours; elsewhere it is for
/// light letters on a dark ground.
pub(super) fn qr(text: &str, is_terminal: bool) -> Option<Zeroizing<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    if !is_terminal {
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
        return Some(Zeroizing::new(renderer.build()));
    }
    let plain = Zeroizing::new(renderer.build());
    let mut coloured = Zeroizing::new(String::with_capacity(2 * plain.len()));
    for line in plain.lines() {
        let _ = writeln!(coloured, "\x1b[30;107m{line}\x1b[0m");
    }
    Some(coloured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_black_on_white_on_a_terminal_and_plain_elsewhere() {
        let plain = qr("hello", false).unwrap();
        assert!(!plain.contains('\x1b') && plain.lines().count() > 10);
        let coloured = qr("hello", true).unwrap();
        assert!(coloured.lines().all(|line| line.starts_with("\x1b[30;107m") && line.ends_with("\x1b[0m")));
        assert!(qr(&"x".repeat(10_000), false).is_none());
    }
}
