//! How long a remote asks to be left alone: the `Retry-After` header, and a moment as a number of seconds.

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;
use vilicus_core::{Millis, Timestamp};

/// The longest that a remote can make us wait; a day later the message is given up anyway.
const LONGEST: Millis = Millis::from_hours(24);

/// Reads `Retry-After`: seconds, or an HTTP date against `now`.
///
/// *Source:* RFC 9110, section 10.2.3.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Millis> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let span = match text.parse::<u64>() {
        Ok(seconds) => Millis::from_secs(seconds),
        Err(_) => {
            let moment = DateTimeParser::new().parse_timestamp(text).ok()?;
            Timestamp::from_millis(moment.as_millisecond()).since(now)
        }
    };
    Some(span.min(LONGEST))
}

/// The span from `now` until a moment that a header gives in seconds since 1970.
pub(super) fn until(headers: &HeaderMap, name: &str, now: Timestamp) -> Option<Millis> {
    let seconds: u64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    let moment = Timestamp::EPOCH.after(Millis::from_secs(seconds));
    Some(moment.since(now).min(LONGEST))
}

/// The span that a service asks for in its body, in seconds with fractions.
pub(super) fn in_seconds(seconds: Option<f64>) -> Option<Millis> {
    let millis = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0)? * 1000.0;
    // A number that is too large becomes the largest there is.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and saturating"
    )]
    let span = Millis::new(millis.ceil() as u64);
    Some(span.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_bounded() {
        let now: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        for (text, expected) in [
            ("120", Some(Millis::from_secs(120))),
            (" 0 ", Some(Millis::ZERO)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(Millis::from_secs(30))),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(Millis::ZERO)),
            ("99999999999999999", Some(LONGEST)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_span_in_seconds_is_rounded_up_and_bounded() {
        for (seconds, millis) in [
            (Some(0.6435), Some(644)),
            (Some(30.0), Some(30_000)),
            (Some(0.0), Some(0)),
            (Some(1e300), Some(LONGEST.get())),
            (Some(-1.0), None),
            (Some(f64::NAN), None),
            (None, None),
        ] {
            assert_eq!(in_seconds(seconds).map(Millis::get), millis, "{seconds:?}");
        }
    }
}
