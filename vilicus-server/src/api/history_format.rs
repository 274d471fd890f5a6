//! History in other forms: CSV for spreadsheets, one JSON object a line for tools, and rolled up for charts.

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LINK};
use serde::Serialize;
use utoipa::ToSchema;
use vilicus_core::{CheckId, Status, Timestamp};
use vilicus_store::query::Rollup;

use super::check_history::Row;
use super::reference::uri;

/// The form that the caller accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A list as everywhere.
    Json,
    /// One JSON object a line.
    Lines,
    /// Comma-separated, with a header.
    Csv,
}

impl Form {
    /// The first form of `Accept` that we know; JSON when there is none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut kinds =
            lines.flat_map(|line| line.split(',')).map(|kind| kind.split(';').next().unwrap_or("").trim());
        kinds
            .find_map(|kind| match kind {
                "text/csv" => Some(Self::Csv),
                "application/x-ndjson" => Some(Self::Lines),
                "application/json" | "*/*" | "application/*" => Some(Self::Json),
                _ => None,
            })
            .unwrap_or(Self::Json)
    }
}

/// The rows in a form other than JSON; the next page is named by a `Link` header.
pub(super) fn rows_as(form: Form, rows: &[Row], next: Option<&str>) -> Response {
    let (kind, body) = match form {
        Form::Csv => ("text/csv; charset=utf-8", csv(rows)),
        _ => ("application/x-ndjson", lines(rows)),
    };
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let link = next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    response
}

fn lines(rows: &[Row]) -> String {
    rows.iter().filter_map(|row| serde_json::to_string(row).ok()).map(|line| line + "\n").collect()
}

/// The columns, in their order.
const COLUMNS: &str =
    "check,timestamp,status,reported_status,output,long_output,duration_ms,exit_code,truncated,metrics";

fn csv(rows: &[Row]) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for row in rows {
        let metrics = serde_json::to_string(&row.metrics).unwrap_or_default();
        let cells = [
            cell(&row.check),
            row.timestamp.to_string(),
            row.status.to_string(),
            row.reported_status.map(|status| status.to_string()).unwrap_or_default(),
            cell(&row.output),
            cell(&row.long_output),
            row.duration_ms.map(|millis| millis.to_string()).unwrap_or_default(),
            row.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            row.truncated.to_string(),
            cell(&metrics),
        ];
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A text in quotes, without what would move a terminal's cursor. What a spreadsheet would take for a formula gets an
/// apostrophe before it.
///
/// *Source:* <https://owasp.org/www-community/attacks/CSV_Injection>.
fn cell(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let formula =
        text.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\n', '＝', '＋', '－', '＠']);
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Results of one check, put together.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupBody {
    /// The path of the check.
    check: String,
    /// The first moment.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// The last moment.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// How many results.
    count: u64,
    /// The worst status.
    #[schema(value_type = String)]
    status: Status,
    /// What was measured.
    metrics: Vec<MetricRollupBody>,
}

/// Values of one metric, put together.
#[derive(Debug, Serialize, ToSchema)]
struct MetricRollupBody {
    name: String,
    unit: String,
    min: f64,
    max: f64,
    avg: f64,
    count: u64,
}

impl RollupBody {
    pub(super) fn new(check: CheckId, rollup: Rollup) -> Self {
        let metrics = rollup.metrics.into_iter().map(|metric| MetricRollupBody {
            name: metric.name,
            unit: metric.unit.to_string(),
            min: metric.min,
            max: metric.max,
            avg: metric.avg,
            count: metric.count,
        });
        Self {
            check: uri("check", check),
            since: rollup.since,
            until: rollup.until,
            count: rollup.count,
            status: rollup.worst,
            metrics: metrics.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "＝1", "\u{1b}=1"] {
            assert!(cell(text).starts_with("\"'"), "{text:?}");
        }
        assert_eq!(cell("\u{1b}[31mred\r\nsecond"), "\"[31mred\nsecond\"");
        assert_eq!(cell("disk \"/\" full, 97 %"), "\"disk \"\"/\"\" full, 97 %\"");
    }

    #[test]
    fn the_first_form_that_is_known_is_taken() {
        for (accept, form) in [
            ("text/csv", Form::Csv),
            ("text/html, application/x-ndjson;q=0.9", Form::Lines),
            ("*/*", Form::Json),
            ("application/json, text/csv", Form::Json),
            ("text/html", Form::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Form::of(&headers), form, "{accept}");
        }
    }
}
