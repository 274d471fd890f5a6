//! What agents send, written as cheaply as memory can be copied: the generator shares its cores with the server.
//!
//! Everything in a result follows from its check and its time, so that whoever knows the two can tell whether what
//! the server kept is what was sent. Values wander like a processor's load, not like noise: a store that packs
//! series well shall show it.

use bytes::Bytes;
use vilicus_core::Timestamp;

/// What is said beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Text {
    /// The same with each result.
    Constant,
    /// The value, so a new text with almost each result.
    Changing,
}

/// How results look.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Look {
    /// What is said beside the value.
    pub text: Text,
    /// The share of results that are CRITICAL, from 0 to 1.
    pub failing: f64,
}

/// What a result says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The value in tenths, from 100 to 999: always two digits, a point and one more.
    pub tenths: u32,
    /// Whether it is CRITICAL; else it is OK.
    pub is_critical: bool,
}

impl Said {
    /// What is said of a check at a time.
    #[must_use]
    pub fn of(check: u64, at_ms: i64, look: Look) -> Self {
        let now = mixed(check ^ at_ms.cast_unsigned().rotate_left(32));
        let base = mixed(check) % 836;
        Self {
            tenths: 100 + (base + now % 64) as u32,
            is_critical: look.failing > 0.0 && (now >> 32) as f64 / f64::from(u32::MAX) < look.failing,
        }
    }

    /// The value as it is written.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.tenths) / 10.0
    }

    /// The text as it is written.
    #[must_use]
    pub fn output(self, text: Text) -> String {
        match text {
            Text::Constant => "usage is fine, on all 8 cores".to_owned(),
            Text::Changing => format!("usage is {}%, on all 8 cores", self.value_text()),
        }
    }

    fn value_text(self) -> String {
        String::from_utf8_lossy(&self.digits()).into_owned()
    }

    fn digits(self) -> [u8; 4] {
        let digit = |n: u32| b'0' + (n % 10) as u8;
        [digit(self.tenths / 100), digit(self.tenths / 10), b'.', digit(self.tenths)]
    }
}

/// A number that looks like chance. *Source:* the finalizer of `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>.
const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Writes bodies: copies a result's text, and puts into it what differs.
#[derive(Debug)]
pub struct Writer {
    look: Look,
    /// What follows the id of the check, to the end of the object.
    tail: Vec<u8>,
    /// Where in it the time, the status, the value and the value in the text stand.
    timestamp: usize,
    status: usize,
    value: usize,
    text_value: Option<usize>,
    /// The size of the last body.
    size: usize,
}

const HEAD: &[u8] = b"{\"check\":";
const OK: &[u8; 10] = b"\"OK\"      ";
const CRITICAL: &[u8; 10] = b"\"CRITICAL\"";
const TIMESTAMP_SIZE: usize = "2026-11-22T07:00:00.000Z".len();

impl Writer {
    /// A writer of such results.
    #[must_use]
    pub fn new(look: Look) -> Self {
        let mut tail = Vec::new();
        let mut place = |text: &str| {
            tail.extend_from_slice(text.as_bytes());
            tail.len()
        };
        let timestamp = place(",\"timestamp\":\"");
        let status = place("0000-00-00T00:00:00.000Z\",\"status\":");
        let before_value = match look.text {
            Text::Constant => place("\"OK\"      ,\"output\":\"usage is fine"),
            Text::Changing => place("\"OK\"      ,\"output\":\"usage is "),
        };
        if look.text == Text::Changing {
            place("10.0%");
        }
        let value = place(", on all 8 cores\",\"metrics\":[{\"name\":\"usage\",\"value\":");
        place("10.0,\"unit\":\"%\"}],\"duration_ms\":12}");
        let text_value = (look.text == Text::Changing).then_some(before_value);
        Self { look, tail, timestamp, status, value, text_value, size: 0 }
    }

    /// One result.
    pub fn one(&mut self, check: u64, at_ms: i64) -> Bytes {
        self.stamp(at_ms);
        let mut body = Vec::with_capacity(HEAD.len() + 20 + self.tail.len());
        self.push(&mut body, check, at_ms);
        body.into()
    }

    /// Many results of one moment.
    pub fn batch(&mut self, checks: &[u64], at_ms: i64) -> Bytes {
        self.stamp(at_ms);
        let mut body = Vec::with_capacity(self.size);
        body.extend_from_slice(b"{\"objects\":[");
        for (index, check) in checks.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            self.push(&mut body, *check, at_ms);
        }
        body.extend_from_slice(b"]}");
        self.size = body.len() + 64;
        body.into()
    }

    fn stamp(&mut self, at_ms: i64) {
        let timestamp = Timestamp::from_millis(at_ms).to_string();
        debug_assert_eq!(timestamp.len(), TIMESTAMP_SIZE);
        self.tail[self.timestamp..self.timestamp + TIMESTAMP_SIZE].copy_from_slice(timestamp.as_bytes());
    }

    fn push(&self, body: &mut Vec<u8>, check: u64, at_ms: i64) {
        let said = Said::of(check, at_ms, self.look);
        body.extend_from_slice(HEAD);
        push_number(body, check);
        let start = body.len();
        body.extend_from_slice(&self.tail);
        let tail = &mut body[start..];
        let digits = said.digits();
        tail[self.value..self.value + 4].copy_from_slice(&digits);
        if let Some(place) = self.text_value {
            tail[place..place + 4].copy_from_slice(&digits);
        }
        let status = if said.is_critical { CRITICAL } else { OK };
        tail[self.status..self.status + status.len()].copy_from_slice(status);
    }
}

fn push_number(body: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    body.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: i64 = 1_795_348_800_123;

    fn look(text: Text, failing: f64) -> Look {
        Look { text, failing }
    }

    #[test]
    fn a_body_says_what_is_said_of_the_check_at_the_time() {
        for look in [look(Text::Constant, 0.0), look(Text::Changing, 0.5), look(Text::Changing, 1.0)] {
            let mut writer = Writer::new(look);
            let body: Value = serde_json::from_slice(&writer.batch(&[7, 123_456], AT)).unwrap();
            for (index, check) in [7, 123_456].into_iter().enumerate() {
                let said = Said::of(check, AT, look);
                let expected = json!({
                    "check": check,
                    "timestamp": "2026-11-22T12:00:00.123Z",
                    "status": if said.is_critical { "CRITICAL" } else { "OK" },
                    "output": said.output(look.text),
                    "metrics": [{"name": "usage", "value": said.value(), "unit": "%"}],
                    "duration_ms": 12,
                });
                assert_eq!(body["objects"][index], expected);
                let one: Value = serde_json::from_slice(&writer.one(check, AT)).unwrap();
                assert_eq!(one, expected);
            }
        }
    }

    #[test]
    fn the_share_of_failures_is_what_was_asked() {
        let failures = |share| {
            let look = look(Text::Constant, share);
            (0..10_000).filter(|n| Said::of(7, AT + n, look).is_critical).count()
        };
        assert_eq!((failures(0.0), failures(1.0)), (0, 10_000));
        assert!((800..1200).contains(&failures(0.1)), "{}", failures(0.1));
    }

    #[test]
    fn a_value_has_always_three_digits() {
        for n in 0..10_000 {
            let said = Said::of(n, AT, look(Text::Constant, 0.0));
            assert!((100..1000).contains(&said.tenths), "{said:?}");
        }
    }
}
