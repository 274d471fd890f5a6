//! A moment that is over, by what the events say of it: the gates as they were asked last, and who had been told.

use std::sync::Arc;

use vilicus_core::event::Happening;
use vilicus_core::judge::gates::{Gate, GateTrace};
use vilicus_core::judge::telling::Look;
use vilicus_core::{CheckId, Event, StateType, Status, Timestamp};
use vilicus_store::query::EventQuery;

use super::{ExplainBody, Moment, ToldOne, body_of};
use crate::api::AppState;
use crate::api::sentences::Names;
use crate::http::Problem;

/// So many of the events before a moment are looked at.
const LOOK_BACK: usize = 500;

/// Why people had been told by then, or not.
pub(super) async fn explain_past(
    state: &AppState,
    check: CheckId,
    at: Timestamp,
) -> Result<ExplainBody, Problem> {
    let query = EventQuery {
        until: Some(Timestamp::from_millis(at.as_millis().saturating_add(1))),
        checks: vec![check],
        limit: LOOK_BACK,
        ..EventQuery::default()
    };
    let events = state.store().events(&query).await?;
    let change = events.iter().find_map(|event| match &event.what {
        Happening::State { change, .. } => Some(*change),
        _ => None,
    });
    let told = told_by(&events);
    let moment = Moment {
        status: change.map(|change| change.to),
        state_type: change.map_or(StateType::Hard, |change| change.state_type),
        since: change.map(|change| change.at),
        enabled: true,
        told: &told,
        waiting: &[],
    };
    let names = Names::new(state).await?;
    let mut body = body_of(check, at, &moment, &last_look(&events), &names);
    if change.is_none() {
        body.verdict = "Nothing is recorded of this check up to that moment.".to_owned();
    }
    Ok(body)
}

/// The last look at the gates among these events, newest first.
fn last_look(events: &[Arc<Event>]) -> Look {
    let traced = events.iter().find_map(|event| match &event.what {
        Happening::State { held, trace, .. } | Happening::Telling { held, trace, .. } => Some((*held, trace)),
        _ => None,
    });
    let (hold, trace) = traced.map_or_else(Default::default, |(hold, trace)| (hold, trace.clone()));
    Look { hold, trace, ..Look::default() }
}

/// Who had been told of the problem that was open at the end of these events, newest first: what the gates let pass.
fn told_by(events: &[Arc<Event>]) -> Vec<ToldOne> {
    let (mut told, mut status) = (Vec::new(), Status::Unknown);
    for event in events.iter().rev() {
        match &event.what {
            Happening::State { change, trace, .. } => {
                status = change.to;
                if status == Status::Ok && change.state_type == StateType::Hard {
                    told.clear();
                }
                note_told(&mut told, trace, status, event.at);
            }
            Happening::Telling { trace, .. } => note_told(&mut told, trace, status, event.at),
            _ => {}
        }
    }
    told
}

/// Notes the channels that passed the last gate.
fn note_told(told: &mut Vec<ToldOne>, trace: &[GateTrace], status: Status, at: Timestamp) {
    for gate in trace.iter().filter(|gate| gate.gate == Gate::Repeat && gate.passed) {
        let Some(channel) = gate.channel else { continue };
        told.retain(|told| told.channel != channel);
        told.push(ToldOne { channel, route: gate.route, status, at, delivery: None });
    }
}
