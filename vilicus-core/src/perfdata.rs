//! The text form of metrics that monitoring plugins print after the `|`, both ways.
//!
//! One item is `'label'=value[UOM];[warn];[crit];[min];[max]`; items are separated by white space. Values become
//! base units (seconds, bytes) and the unit that was written is remembered, so printing gives the same text
//! back. One bad item costs no good one. What stands around the `|` is the business of [`crate::plugin`].
//!
//! *Source:* <https://www.monitoring-plugins.org/doc/guidelines.html#AEN201> (performance data).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::metric::{Metric, Unit};
use crate::threshold::Range;

/// A perfdata item, or a part of one, that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// The item as it was written, at most 80 characters of it.
    pub item: String,
    /// What is wrong with it.
    pub reason: String,
}

impl BadItem {
    fn new(item: &str, reason: impl Into<String>) -> Self {
        Self { item: item.chars().take(80).collect(), reason: reason.into() }
    }
}

impl fmt::Display for BadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.reason)
    }
}

/// Reads perfdata: the metrics, and what could not be read.
///
/// An item without a readable value is skipped; with a readable value and a bad range or bound it is kept
/// without that one, since those are only shown. The value `U` means that there is none: no metric, no mistake.
///
/// ```
/// let (metrics, bad) = vilicus_core::perfdata::parse("time=12.5ms;100;;0 size=1,5B");
/// assert_eq!((metrics[0].value, metrics[0].unit.as_str()), (0.0125, "s"));
/// assert_eq!(bad.len(), 1);
/// ```
#[must_use]
pub fn parse(text: &str) -> (Vec<Metric>, Vec<BadItem>) {
    let (mut metrics, mut bad) = (Vec::new(), Vec::new());
    let mut labels = BTreeSet::new();
    for item in (Items { rest: text }) {
        let read = match item {
            Ok(item) if labels.contains(item.label.as_ref()) => {
                Err(BadItem::new(item.text, "the label was there before"))
            }
            Ok(item) => read_item(&item, &mut bad),
            Err(problem) => Err(problem),
        };
        match read {
            Ok(Some(metric)) => {
                labels.insert(metric.name.clone());
                metrics.push(metric);
            }
            Ok(None) => {}
            Err(problem) => bad.push(problem),
        }
    }
    (metrics, bad)
}

/// Prints metrics as perfdata, in the units that their sources wrote; a value that is not finite becomes `U`.
#[must_use]
pub fn print(metrics: &[Metric]) -> String {
    metrics.iter().map(print_item).collect::<Vec<_>>().join(" ")
}

/// One item, split into its label and the fields after the `=`.
struct Item<'a> {
    text: &'a str,
    label: Cow<'a, str>,
    fields: &'a str,
}

/// The items of a perfdata text.
struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, BadItem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let label_end = self.rest.strip_prefix('\'').map(closing_quote);
        let quoted = label_end.flatten().map_or(0, |end| end + 2);
        let end = quoted + space_or_end(&self.rest[quoted..]);
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(match label_end {
            None => split_plain(text),
            Some(Some(_)) => split_quoted(text, quoted),
            Some(None) => Err(BadItem::new(text, "the quote of the label is never closed")),
        })
    }
}

fn space_or_end(text: &str) -> usize {
    text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len())
}

/// Where the quote that ends a label is, two quotes being one that belongs to it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text.get(at..)?.find('\'')?;
        if !text[at + 1..].starts_with('\'') {
            return Some(at);
        }
        at += 2;
    }
}

fn split_quoted(text: &str, quoted: usize) -> Result<Item<'_>, BadItem> {
    let label = Cow::Owned(text[1..quoted - 1].replace("''", "'"));
    let fields = text[quoted..].strip_prefix('=');
    named(text, label, fields.ok_or_else(|| BadItem::new(text, "no '=' after the label"))?)
}

fn split_plain(text: &str) -> Result<Item<'_>, BadItem> {
    let split = text.rsplit_once('=').ok_or_else(|| BadItem::new(text, "no '=' in it"));
    split.and_then(|(label, fields)| named(text, Cow::Borrowed(label), fields))
}

fn named<'a>(text: &'a str, label: Cow<'a, str>, fields: &'a str) -> Result<Item<'a>, BadItem> {
    if label.is_empty() {
        return Err(BadItem::new(text, "the label is empty"));
    }
    Ok(Item { text, label, fields })
}

/// The metric of an item; `None` for the value `U`. Bad ranges and bounds are left out and reported.
fn read_item(item: &Item<'_>, bad: &mut Vec<BadItem>) -> Result<Option<Metric>, BadItem> {
    let fields: Vec<&str> = item.fields.split(';').collect();
    let field = |at: usize| fields.get(at).copied().filter(|field| !field.is_empty());
    let problem = |reason: &str| BadItem::new(item.text, reason);
    if fields.iter().skip(5).any(|field| !field.is_empty()) {
        return Err(problem("more than five fields"));
    }
    let value = field(0).unwrap_or_default();
    if value == "U" {
        return Ok(None);
    }
    let (number, written) = split_number(value).map_err(problem)?;
    let (unit, scale) = unit_of(written);
    let value = scale.read(number).map_err(|reason| problem(&reason))?;
    let mut range = |at, what| kept(what, item, bad, read_range(field(at)?, scale));
    let (warning, critical) = (range(1, "warning"), range(2, "critical"));
    let mut bound = |at, what| kept(what, item, bad, scale.read(field(at)?));
    let (min, max) = (bound(3, "minimum"), bound(4, "maximum"));
    let written_unit = (scale != Scale::BASE).then(|| written.to_owned());
    Ok(Some(Metric {
        name: item.label.clone().into_owned(),
        value,
        unit,
        warning,
        critical,
        min,
        max,
        written_unit,
    }))
}

/// What was read of one field, or nothing and a report.
fn kept<T>(what: &str, item: &Item<'_>, bad: &mut Vec<BadItem>, read: Result<T, String>) -> Option<T> {
    read.map_err(|reason| bad.push(BadItem::new(item.text, format!("its {what} is left out: {reason}")))).ok()
}

/// Splits `12.5ms` into the number and the unit.
fn split_number(value: &str) -> Result<(&str, &str), &'static str> {
    let bytes = value.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(value.starts_with(['+', '-']));
    let whole = digits(sign);
    let fraction = if bytes.get(whole) == Some(&b'.') { digits(whole + 1) } else { whole };
    if fraction - sign - usize::from(fraction > whole) == 0 {
        return Err("the value is not a number");
    }
    let mut end = fraction;
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = if exponent <= bytes.len() { digits(exponent) } else { exponent };
        end = if after > exponent { after } else { end };
    }
    let (number, unit) = value.split_at(end);
    if unit.starts_with(',') {
        return Err("a comma in the number; decimals are written with a point (LC_ALL=C)");
    }
    let second_point = unit.starts_with('.');
    if is_unit(unit) && !second_point {
        Ok((number, unit))
    } else {
        Err("something that is neither number nor unit")
    }
}

/// What may stand as a unit: no digits, quotes, commas or anything that ends a field.
fn is_unit(text: &str) -> bool {
    !text.chars().any(|c| c.is_numeric() || c.is_control() || c.is_whitespace() || "'\",;=".contains(c))
}

/// How many base units one written unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// 10 to this power; done on the decimal text, so that no digit is lost.
    Ten(i32),
    /// 2 to this power; exact in floating point.
    Two(i32),
}

/// The base unit of a written unit, and the scale between them.
fn unit_of(text: &str) -> (Unit, Scale) {
    let (unit, scale) = match text {
        "ms" => (Unit::Seconds, Scale::Ten(-3)),
        "us" => (Unit::Seconds, Scale::Ten(-6)),
        "ns" => (Unit::Seconds, Scale::Ten(-9)),
        "KB" | "kB" => (Unit::Bytes, Scale::Ten(3)),
        "MB" => (Unit::Bytes, Scale::Ten(6)),
        "GB" => (Unit::Bytes, Scale::Ten(9)),
        "TB" => (Unit::Bytes, Scale::Ten(12)),
        "KiB" => (Unit::Bytes, Scale::Two(10)),
        "MiB" => (Unit::Bytes, Scale::Two(20)),
        "GiB" => (Unit::Bytes, Scale::Two(30)),
        "TiB" => (Unit::Bytes, Scale::Two(40)),
        plain => (plain.parse().unwrap_or_default(), Scale::BASE),
    };
    (unit, scale)
}

impl Scale {
    const BASE: Self = Self::Ten(0);

    /// Reads a number in the written unit as a value in the base unit.
    fn read(self, number: &str) -> Result<f64, String> {
        if !matches!(split_number(number), Ok((_, ""))) {
            return Err(format!("'{}' is not a number", number.chars().take(40).collect::<String>()));
        }
        let value = match self {
            Self::Ten(0) => number.parse(),
            Self::Ten(power) => shift(number, power).parse(),
            Self::Two(power) => number.parse().map(|value: f64| value * 2f64.powi(power)),
        };
        value.ok().filter(|value| value.is_finite()).ok_or_else(|| "the number is too large".to_owned())
    }

    /// Writes a value in the written unit, if reading it would give the same value again.
    fn write(self, value: f64) -> Option<String> {
        let near = match self {
            Self::Ten(0) => return Some(value.to_string()),
            Self::Ten(power) => shift(&format!("{value:e}"), -power).parse::<f64>().unwrap_or(f64::NAN),
            Self::Two(power) => value / 2f64.powi(power),
        };
        let exact = || match self {
            Self::Ten(power) => Some(shift(&format!("{value:e}"), -power)),
            Self::Two(_) => None,
        };
        let reads_back = |text: &String| self.read(text).is_ok_and(|back| back == value);
        Some(near.to_string()).filter(reads_back).or_else(|| exact().filter(reads_back))
    }
}

/// A decimal number with its point moved by so many places.
fn shift(number: &str, places: i32) -> String {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    // An exponent beyond this is zero or infinite with any unit.
    let exponent = exponent.parse::<i32>().map_or(99_999, |exponent| exponent.clamp(-99_999, 99_999));
    format!("{mantissa}e{}", exponent + places)
}

fn read_range(text: &str, scale: Scale) -> Result<Range, String> {
    let as_written = || text.parse::<Range>().map_err(|error| error.to_string());
    if scale == Scale::BASE {
        return as_written();
    }
    // Mistakes are reported as they were written, not as they were scaled.
    as_written()?;
    let (mark, body) = text.strip_prefix('@').map_or(("", text), |body| ("@", body));
    let bound = |text: &str| match text {
        "" | "~" => Ok(text.to_owned()),
        number => scale.read(number).map(|value| value.to_string()),
    };
    let scaled = match body.split_once(':') {
        Some((start, end)) => format!("{mark}{}:{}", bound(start)?, bound(end)?),
        None => format!("{mark}{}", bound(body)?),
    };
    scaled.parse().map_err(|_| "the number is too large".to_owned())
}

fn write_range(range: &Range, scale: Scale) -> Option<String> {
    let mark = if range.is_inverted() { "@" } else { "" };
    let start = match range.start() {
        f64::NEG_INFINITY => "~".to_owned(),
        start => scale.write(start + 0.0)?,
    };
    let end = if range.end() == f64::INFINITY { String::new() } else { scale.write(range.end() + 0.0)? };
    Some(if start == "0" && !end.is_empty() {
        format!("{mark}{end}")
    } else {
        format!("{mark}{start}:{end}")
    })
}

fn print_item(metric: &Metric) -> String {
    let label = print_label(&metric.name);
    if !metric.value.is_finite() {
        return format!("{label}=U");
    }
    let written = metric.written_unit.as_deref().map(|text| (text, unit_of(text)));
    let in_written = written.filter(|(_, (unit, _))| *unit == metric.unit);
    let fields = in_written.and_then(|(text, (_, scale))| print_fields(metric, text, scale));
    let in_base = || {
        let unit = Some(metric.unit.as_str()).filter(|text| is_unit(text)).unwrap_or_default();
        print_fields(metric, unit, Scale::BASE).unwrap_or_default()
    };
    format!("{label}={}", fields.unwrap_or_else(in_base))
}

/// The fields after the `=`, empty ones at the end left out; `None` when the scale would lose digits.
fn print_fields(metric: &Metric, unit: &str, scale: Scale) -> Option<String> {
    let mut fields = format!("{}{unit}", scale.write(metric.value)?);
    for range in [&metric.warning, &metric.critical] {
        fields.push(';');
        fields.push_str(&range.as_ref().map_or(Some(String::new()), |range| write_range(range, scale))?);
    }
    for bound in [metric.min, metric.max] {
        fields.push(';');
        let bound = bound.filter(|bound| bound.is_finite());
        fields.push_str(&bound.map_or(Some(String::new()), |bound| scale.write(bound))?);
    }
    fields.truncate(fields.trim_end_matches(';').len());
    Some(fields)
}

fn print_label(name: &str) -> Cow<'_, str> {
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_ascii_whitespace() || "'=|".contains(c));
    if plain { Cow::Borrowed(name) } else { Cow::Owned(format!("'{}'", name.replace('\'', "''"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Metric {
        let (mut metrics, bad) = parse(text);
        assert_eq!((metrics.len(), bad.len()), (1, 0), "{text}: {bad:?}");
        metrics.remove(0)
    }

    #[test]
    fn values_become_base_units() {
        for (text, value, unit, written) in [
            ("a=1", 1.0, "", None),
            ("a=-.5", -0.5, "", None),
            ("a=1e3s", 1000.0, "s", None),
            ("a=0.1ms", 0.0001, "s", Some("ms")),
            ("a=3us", 3e-6, "s", Some("us")),
            ("a=7ns", 7e-9, "s", Some("ns")),
            ("a=42%", 42.0, "%", None),
            ("a=5KB", 5000.0, "B", Some("KB")),
            ("a=1.1TB", 1.1e12, "B", Some("TB")),
            ("a=1.5KiB", 1536.0, "B", Some("KiB")),
            ("a=2TiB", 2f64.powi(41), "B", Some("TiB")),
            ("a=9c", 9.0, "c", None),
            ("a=3furlongs", 3.0, "furlongs", None),
            ("a=5e", 5.0, "e", None),
        ] {
            let metric = one(text);
            assert_eq!(metric.value, value, "{text}");
            assert_eq!((metric.unit.as_str(), metric.written_unit.as_deref()), (unit, written), "{text}");
        }
    }

    #[test]
    fn ranges_and_bounds_are_scaled_with_the_value() {
        let metric = one("time=12.5ms;100;@~:200;0;1000");
        assert_eq!(metric.warning.unwrap().to_string(), "0.1");
        assert_eq!(metric.critical.unwrap().to_string(), "@~:0.2");
        assert_eq!((metric.min, metric.max), (Some(0.0), Some(1.0)));
        assert_eq!(print(&[metric]), "time=12.5ms;100;@~:200;0;1000");
    }

    #[test]
    fn labels_may_hold_anything() {
        for (text, label) in [
            ("'a b'=1", "a b"),
            ("'it''s'=1", "it's"),
            ("a=b=1", "a=b"),
            ("'a=b'=1", "a=b"),
            ("don't=1", "don't"),
            ("''''=1", "'"),
            ("/=1", "/"),
            ("a::b::c=1", "a::b::c"),
        ] {
            assert_eq!(one(text).name, label, "{text}");
        }
    }

    #[test]
    fn a_bad_item_is_reported_and_the_good_ones_stay() {
        for (item, words) in [
            ("x=1,5", "comma"),
            ("x=NaN", "not a number"),
            ("x=inf", "not a number"),
            ("x=1e999", "too large"),
            ("x=1e308TB", "too large"),
            ("x=1e99999999999", "too large"),
            ("x=", "not a number"),
            ("x=0x1F", "neither number nor unit"),
            ("x=1.2.3", "neither number nor unit"),
            ("x", "no '='"),
            ("=1", "label is empty"),
            ("''=1", "label is empty"),
            ("'x=1", "never closed"),
            ("'x'1", "no '=' after"),
            ("good=2", "there before"),
            ("x=1;2;3;4;5;6", "five fields"),
        ] {
            let (metrics, bad) = parse(&format!("good=1 {item} fine=2"));
            let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            assert_eq!(names, ["good", "fine"], "{item}");
            assert_eq!(bad.len(), 1, "{item}");
            assert!(bad[0].reason.contains(words), "{}", bad[0]);
        }
    }

    #[test]
    fn a_bad_range_costs_only_itself() {
        let (metrics, bad) = parse("x=5ms;5:1;20;zero");
        assert_eq!((metrics[0].value, metrics[0].warning, metrics[0].min), (0.005, None, None));
        assert_eq!(metrics[0].critical.unwrap().end(), 0.02);
        assert_eq!(bad.len(), 2, "{bad:?}");
    }

    #[test]
    fn no_value_is_no_mistake() {
        assert_eq!(parse("a=U b=U;1;2"), (vec![], vec![]));
        assert_eq!(print(&[Metric::new("a", f64::NAN)]), "a=U");
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![-1e15..1e15, -1.0..1.0, Just(0.0), (-1000i32..1000).prop_map(f64::from)]
    }

    fn range() -> impl Strategy<Value = Option<Range>> {
        let texts = (number(), number(), any::<bool>(), 0..4).prop_map(|(a, b, inside, form)| {
            let mark = if inside { "@" } else { "" };
            match form {
                0 => format!("{mark}{}:{}", a.min(b), a.max(b)),
                1 => format!("{mark}{a}:"),
                2 => format!("{mark}~:{a}"),
                _ => format!("{mark}{}", a.abs()),
            }
        });
        proptest::option::of(texts.prop_map(|text| text.parse().unwrap()))
    }

    fn metric() -> impl Strategy<Value = Metric> {
        let unit = proptest::sample::select(vec![
            "", "s", "ms", "us", "ns", "%", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "c",
            "°C",
        ]);
        let bound = || proptest::option::of(number());
        (("[^\0]{1,12}", number(), unit), range(), range(), bound(), bound()).prop_map(
            |((name, value, written), warning, critical, min, max)| {
                let (unit, scale) = unit_of(written);
                let written_unit = (scale != Scale::BASE).then(|| written.to_owned());
                Metric { name, value, unit, warning, critical, min, max, written_unit }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(mut metrics in proptest::collection::vec(metric(), 0..5)) {
            let mut seen = std::collections::BTreeSet::new();
            metrics.retain(|metric| seen.insert(metric.name.clone()));
            let text = print(&metrics);
            prop_assert_eq!(parse(&text), (metrics, vec![]), "{}", text);
        }

        #[test]
        fn any_text_is_read_without_a_panic_and_reprints_stably(text in ".{0,80}") {
            let (metrics, _) = parse(&text);
            let (again, bad) = parse(&print(&metrics));
            prop_assert_eq!((again, bad), (metrics, vec![]));
        }

        #[test]
        fn texts_that_look_like_perfdata_do_not_panic(text in "[-'=;|.,:@~eEUsB%0-9 a-c]{0,60}") {
            let (metrics, _) = parse(&text);
            prop_assert_eq!(parse(&print(&metrics)).0, metrics);
        }
    }
}
