//! `status`: one screen, and the exit code of the worst state, so that it is a plugin itself.

use std::process::ExitCode;

use serde_json::Value;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::client::Client;
use crate::exit::Failure;
use crate::get::check_row;
use crate::names::Names;
use crate::print::{self, Rows};

/// What is worse stands first; with the exit codes of the Nagios plugin guidelines.
const STATUSES: [(&str, u8); 4] = [("CRITICAL", 2), ("UNKNOWN", 3), ("WARNING", 1), ("OK", 0)];

/// What is wrong, and how bad that is.
pub(crate) struct Seen {
    pub(crate) text: String,
    code: u8,
}

/// Shows it.
pub(crate) async fn run(client: &Client) -> Result<ExitCode, Failure> {
    let seen = seen(client).await?;
    print::write(&seen.text)?;
    Ok(ExitCode::from(seen.code))
}

/// Looks.
pub(crate) async fn seen(client: &Client) -> Result<Seen, Failure> {
    let agents = client.list("/api/v1/agent/", usize::MAX).await?;
    let checks = client.list("/api/v1/check/", usize::MAX).await?;
    let count = |status: Option<&str>| checks.iter().filter(|check| status_of(check) == status).count();
    let mut counts: Vec<String> = STATUSES
        .into_iter()
        .map(|(status, _)| (count(Some(status)), status))
        .chain([(count(None), "PENDING")])
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    if counts.is_empty() {
        counts.push("nothing is watched yet".to_owned());
    }
    let mut text = format!("{} · agents: {} · {}\n", counts.join(" · "), agents.len(), client.url());
    let mut problems: Vec<&Value> = checks.iter().filter(|check| rank(check).is_some()).collect();
    problems.sort_by_key(|check| (is_handled(check), rank(check)));
    if !problems.is_empty() {
        let (mut names, now) = (Names::new(&agents), SystemClock::new().now());
        names.complete(client, &checks).await?;
        let rows = problems.into_iter().map(|check| check_row(check, &names, now)).collect();
        text.push('\n');
        text += &print::table(Rows { headings: vec!["CHECK", "STATE", "SINCE", "NOTES", "OUTPUT"], rows });
    }
    Ok(Seen { text, code: worst(&checks) })
}

fn status_of(check: &Value) -> Option<&str> {
    check["state"]["status"].as_str()
}

/// How bad a problem is, the worst first; `None` when it is none.
fn rank(check: &Value) -> Option<usize> {
    let status = status_of(check)?;
    STATUSES.iter().position(|(name, code)| *name == status && *code > 0)
}

/// Somebody knows of it.
fn is_handled(check: &Value) -> bool {
    check["state"]["acknowledged"] == true || check["state"]["in_downtime"] == true
}

fn worst(checks: &[Value]) -> u8 {
    checks.iter().filter_map(rank).min().map_or(0, |rank| STATUSES[rank].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_exit_code_is_that_of_the_worst_state() {
        let checks = |statuses: &[&str]| -> Vec<Value> {
            statuses.iter().map(|status| json!({"state": {"status": status}})).collect()
        };
        for (statuses, code) in [
            (&["OK", "OK"][..], 0),
            (&["OK", "WARNING"], 1),
            (&["WARNING", "UNKNOWN"], 3),
            (&["UNKNOWN", "CRITICAL", "OK"], 2),
            (&[], 0),
        ] {
            assert_eq!(worst(&checks(statuses)), code, "{statuses:?}");
        }
    }
}
