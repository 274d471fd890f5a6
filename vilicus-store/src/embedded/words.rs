//! The words of a state as people read them: the last result's, or the store's own when nothing came.

use std::sync::Arc;

use vilicus_core::judge::freshness::Contact;
use vilicus_core::{CheckResult, CheckState};

/// The result with the threshold that was breached in its output.
pub(crate) fn worded(result: &Arc<CheckResult>, reason: Option<&str>) -> Arc<CheckResult> {
    let Some(reason) = reason else {
        return Arc::clone(result);
    };
    let mut worded = CheckResult::clone(result);
    worded.output =
        if worded.output.is_empty() { reason.to_owned() } else { format!("{} ({reason})", worded.output) };
    Arc::new(worded)
}

/// Results stay out.
pub(crate) fn no_result(state: &CheckState) -> CheckResult {
    CheckResult::unknown(match state.last_result_at {
        Some(last) => format!("no result since {last}"),
        None => "no result since it was delivered to the agent".to_owned(),
    })
}

/// A job stays out, or its run does not end.
pub(crate) fn no_ping(state: &CheckState) -> CheckResult {
    let heartbeat = state.heartbeat.as_ref();
    let running = heartbeat.and_then(|heartbeat| heartbeat.running.as_ref());
    let last = heartbeat.and_then(|heartbeat| heartbeat.last_success);
    CheckResult::critical(match (running, last) {
        (Some(running), _) => format!("the run that began at {} did not end", running.since),
        (None, Some(last)) => format!("no ping since {last}"),
        (None, None) => "no ping".to_owned(),
    })
}

/// The agent is silent.
pub(crate) fn no_contact(contact: &Contact) -> CheckResult {
    CheckResult::critical(
        contact.last.map_or_else(|| "no contact".to_owned(), |last| format!("no contact since {last}")),
    )
}
