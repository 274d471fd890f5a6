//! Numbers as people read them, for the one line of a result.

/// A size in binary units, as `28.3 GiB`.
pub(super) fn bytes(size: f64) -> String {
    let mut size = size;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "B" && size < 100.0);
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} PiB")
}

/// A share of a whole in percent, 0 to 100 with two decimals; nothing of nothing is 0.
pub(super) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { rounded((part / whole * 100.0).clamp(0.0, 100.0), 2) } else { 0.0 }
}

/// A number with so many decimals: digits that are mere noise cost room in the history and on the screen.
pub(super) fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (number * scale).round() / scale
}

/// A time in seconds, as `12 ms` or `1.50 s`.
pub(super) fn seconds(time: f64) -> String {
    if time < 0.001 {
        format!("{:.0} µs", time * 1e6)
    } else if time < 1.0 {
        format!("{:.0} ms", time * 1e3)
    } else {
        format!("{time:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        for (size, text) in [(0.0, "0 B"), (1023.0, "1023 B"), (30.4e9, "28.3 GiB"), (5e17, "444.1 PiB")] {
            assert_eq!(bytes(size), text);
        }
        for (time, text) in [(0.000_012, "12 µs"), (0.0123, "12 ms"), (1.5, "1.50 s")] {
            assert_eq!(seconds(time), text);
        }
        assert_eq!((percent(1.0, 3.0), percent(0.0, 0.0)), (33.33, 0.0));
        assert_eq!((rounded(0.123_456_789, 6), rounded(1e300, 2)), (0.123_457, 1e300));
    }
}
