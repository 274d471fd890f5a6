//! Objects of the API in words: names, ages, states.

use serde_json::Value;
use vilicus_core::Timestamp;

use crate::names::Names;

/// A check as `agent/check`.
pub(crate) fn check_name(check: &Value, agents: &Names) -> String {
    format!("{}/{}", agents.of(check), text(&check["name"]))
}

/// A state in words: `CRITICAL`, `WARNING (soft 1/3)`, `PENDING`.
pub(crate) fn state(check: &Value) -> String {
    let state = &check["state"];
    let Some(status) = state["status"].as_str() else { return "PENDING".to_owned() };
    match state["state_type"].as_str() {
        Some("soft") => format!("{status} (soft {}/{})", state["attempt"], check["max_attempts"]),
        _ => status.to_owned(),
    }
}

/// What else is to be known of a check's state.
pub(crate) fn flags(check: &Value) -> String {
    let state = &check["state"];
    let flags = ["acknowledged", "in_downtime", "flapping", "stale", "unreachable"];
    let set = flags.into_iter().filter(|flag| state[flag] == true).map(|flag| flag.replace('_', " "));
    let off = (check["enabled"] == false).then(|| "disabled".to_owned());
    set.chain(off).collect::<Vec<_>>().join(", ")
}

/// How long ago a moment was, in its largest unit; `-` when there is none.
pub(crate) fn age(moment: &Value, now: Timestamp) -> String {
    let Some(at) = moment.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "-".to_owned();
    };
    let seconds = now.since(at).get() / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A value as it stands in a table: on one line, and nothing in it moves the cursor.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => one_line(text),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => one_line(&other.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_are_told_with_how_sure_they_are() {
        let check = |status: Value, state_type: &str| json!({"max_attempts": 3, "state": {"status": status, "state_type": state_type, "attempt": 1}});
        assert_eq!(state(&check(json!("WARNING"), "soft")), "WARNING (soft 1/3)");
        assert_eq!(state(&check(json!("OK"), "hard")), "OK");
        assert_eq!(state(&check(Value::Null, "hard")), "PENDING");
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let ago =
            |seconds: i64| json!(Timestamp::from_millis(1_790_000_000_000 - seconds * 1000).to_string());
        for (seconds, told) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(&ago(seconds), now), told);
        }
        assert_eq!(age(&Value::Null, now), "-");
    }

    #[test]
    fn nothing_in_a_name_moves_the_cursor() {
        assert_eq!(text(&json!("a\u{1b}[2Jb\n")), "a\u{fffd}[2Jb\u{fffd}");
    }
}
