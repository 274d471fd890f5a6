//! The kinds that a check may be of: those that agents run, and the heartbeat, which the server judges by its pings.

use serde_json::Value;
use vilicus_core::heartbeat::HeartbeatParams;
use vilicus_core::kind::BuildError;
use vilicus_core::params::{nearest, parse};
use vilicus_store::inventory::{AGENT_KIND, HEARTBEAT_KIND};

use super::AppState;
use super::names::LONGEST;
use crate::http::Problem;

/// The names of all kinds that a check can be made of, sorted.
pub(super) fn names(state: &AppState) -> Vec<&'static str> {
    let mut names: Vec<_> = state.kinds().names().chain([HEARTBEAT_KIND]).collect();
    names.sort_unstable();
    names
}

/// Refuses a kind that nobody knows, and parameters that it can't work with.
///
/// # Errors
/// 422, with the place and the mend.
pub(crate) fn validate(state: &AppState, kind: &str, params: &Value) -> Result<(), Problem> {
    match kind {
        AGENT_KIND => {
            Err(Problem::invalid("/kind", "every agent has its check of this kind already, made by itself"))
        }
        HEARTBEAT_KIND => validate_heartbeat(params),
        _ => match state.kinds().build(kind, params) {
            Ok(_) => Ok(()),
            Err(BuildError::UnknownKind { name, .. }) => {
                let near = nearest(&name, names(state)).map(str::to_owned);
                Err(BuildError::UnknownKind { name, near }.into())
            }
            Err(error) => Err(error.into()),
        },
    }
}

fn validate_heartbeat(params: &Value) -> Result<(), Problem> {
    let params: HeartbeatParams = parse(params)?;
    params.expectation()?;
    for (pointer, span) in [("/params/period", params.period), ("/params/grace", params.grace)] {
        if span.is_some_and(|span| span > LONGEST) {
            return Err(Problem::invalid(pointer, format!("is too long; at most {LONGEST}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_heartbeat_names_each_parameter() {
        let path = format!("{}/../docs/checks/{HEARTBEAT_KIND}.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).unwrap();
        let schema = vilicus_core::params::schema_of::<HeartbeatParams>();
        for parameter in schema["properties"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{parameter}`")), "{path} does not name {parameter}");
        }
    }
}
