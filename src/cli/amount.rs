//! Amounts as people read them.

/// A length of time: `5 s`, `3 min 12 s`, `2 h 5 min`, `4 d 7 h`.
pub(super) fn time(seconds: u64) -> String {
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A round trip, given in microseconds: `0.4 ms`, `12.3 ms`, `250 ms`.
pub(super) fn round_trip(microseconds: u64) -> String {
    match microseconds / 100 {
        tenths @ 0..1000 => format!("{}.{} ms", tenths / 10, tenths % 10),
        tenths => format!("{} ms", tenths / 10),
    }
}

/// A number of bytes: `999 B`, `1.4 kB`, `23.0 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, so that no rounding makes 1000.0 of one.
    let mut tenths = u128::from(bytes) / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 peer`, `2 peers`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_unit_that_fits() {
        let times = [0, 59, 60, 3599, 3600, 86_399, 86_400, 400_000].map(time);
        assert_eq!(times, ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "23 h 59 min", "1 d", "4 d 15 h"]);
        assert_eq!([449, 12_345, 250_900].map(round_trip), ["0.4 ms", "12.3 ms", "250 ms"]);
        let sizes = [0, 999, 1000, 1449, 999_999, 1_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.4 kB", "999.9 kB", "1.0 MB", "18446.7 PB"]);
    }
}
