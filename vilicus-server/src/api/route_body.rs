//! Routes as they go over the wire, both ways, and what no route can be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vilicus_core::route::{DEFAULT_POSITION, EscalationStep};
use vilicus_core::schedule::WeeklySchedule;
use vilicus_core::{ChannelId, Matcher, Millis, Route, RouteId};

use super::names::Mistakes;
use super::reference::{Reference, uri};
use crate::http::Problem;
use crate::http::json::Sent;

/// The most channels of a step, and steps of a route.
const MOST: usize = 100;

/// Who is told of what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteBody {
    id: u64,
    resource_uri: String,
    /// Unique in the server.
    name: String,
    /// Its place among the others: lower ones are tried first, then lower ids.
    position: u32,
    /// The conditions, all of which must hold; none for everything.
    #[serde(rename = "match")]
    #[schema(value_type = Vec<String>)]
    matchers: Vec<Matcher>,
    /// The paths of the channels that are told.
    channels: Vec<String>,
    /// Whether the routes after it are tried too when it matches.
    #[serde(rename = "continue")]
    proceed: bool,
    /// The labels whose values make a group; none for one group of all, `...` for one a check.
    group_by: Vec<String>,
    /// How long the first message of a new group waits for more.
    #[schema(value_type = String)]
    group_wait: Millis,
    /// The least time between two messages of a group.
    #[schema(value_type = String)]
    group_interval: Millis,
    /// How long after the last message an open problem is told again; `null` for never.
    #[schema(value_type = Option<String>)]
    repeat_interval: Option<Millis>,
    /// When people may be told of problems; `null` for always.
    #[schema(value_type = Option<String>)]
    schedule: Option<WeeklySchedule>,
    /// Whether only a worse status than the one told before is news.
    only_worse: bool,
    /// Whether recoveries are told.
    send_recovery: bool,
    /// Who else is told of a problem that stays, in order.
    escalate: Vec<StepBody>,
    /// How long a problem must be confirmed before it is told; `null` for at once.
    #[schema(value_type = Option<String>)]
    first_delay: Option<Millis>,
    /// The file that manages it.
    managed_by: Option<String>,
}

/// One step of an escalation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepBody {
    /// How long after the problem was confirmed.
    #[schema(value_type = String)]
    after: Millis,
    /// The paths of the channels that are told then.
    channels: Vec<String>,
}

impl From<&Route> for RouteBody {
    fn from(route: &Route) -> Self {
        let paths = |ids: &[ChannelId]| ids.iter().map(|id| uri("channel", id)).collect();
        let step = |step: &EscalationStep| StepBody { after: step.after, channels: paths(&step.channels) };
        Self {
            id: route.id.get(),
            resource_uri: uri("route", route.id),
            name: route.name.clone(),
            position: route.position,
            matchers: route.matchers.clone(),
            channels: paths(&route.channels),
            proceed: route.proceed,
            group_by: route.group_by.clone(),
            group_wait: route.group_wait,
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            schedule: route.schedule.clone(),
            only_worse: route.only_worse,
            send_recovery: route.send_recovery,
            escalate: route.escalate.iter().map(step).collect(),
            first_delay: route.first_delay,
            managed_by: route.managed_by.clone(),
        }
    }
}

/// A route as it is written. A name is enough.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct RouteInput {
    /// Unique in the server.
    pub(crate) name: String,
    /// Its place among the others: lower ones are tried first, then lower ids; 1000.
    #[serde(default = "defaults::position")]
    position: u32,
    /// The conditions, all of which must hold; none for everything.
    #[serde(default, rename = "match")]
    #[schema(value_type = Vec<String>)]
    matchers: Vec<Matcher>,
    /// Who is told: ids, names or paths of channels.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    channels: Vec<Reference>,
    /// Whether the routes after it are tried too when it matches.
    #[serde(default, rename = "continue")]
    proceed: bool,
    /// The labels whose values make a group; none for one group of all, `...` for one a check.
    #[serde(default)]
    group_by: Vec<String>,
    /// How long the first message of a new group waits for more; 10 s.
    #[serde(default = "defaults::group_wait")]
    #[schema(value_type = String, required = false)]
    group_wait: Millis,
    /// The least time between two messages of a group; 5 min.
    #[serde(default = "defaults::group_interval")]
    #[schema(value_type = String, required = false)]
    group_interval: Millis,
    /// How long after the last message an open problem is told again; 4 h, `null` for never.
    #[serde(default = "defaults::repeat_interval")]
    #[schema(value_type = Option<String>)]
    repeat_interval: Option<Millis>,
    /// When people may be told of problems, as `Mon-Fri 08:00-18:00 Europe/Berlin`; always by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    schedule: Option<WeeklySchedule>,
    /// Whether only a worse status than the one told before is news.
    #[serde(default)]
    only_worse: bool,
    /// Whether recoveries are told; yes.
    #[serde(default = "defaults::yes")]
    send_recovery: bool,
    /// Who else is told of a problem that stays, in order.
    #[serde(default)]
    escalate: Vec<StepInput>,
    /// How long a problem must be confirmed before it is told; at once by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    first_delay: Option<Millis>,
}

/// One step of an escalation as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StepInput {
    /// How long after the problem was confirmed.
    #[schema(value_type = String)]
    after: Millis,
    /// Who is told then: ids, names or paths of channels.
    #[schema(value_type = Vec<String>)]
    channels: Vec<Reference>,
}

/// What is not said: see [`Route::new`].
mod defaults {
    use super::{DEFAULT_POSITION, Millis, new_route};

    pub(super) fn position() -> u32 {
        DEFAULT_POSITION
    }

    pub(super) fn group_wait() -> Millis {
        new_route().group_wait
    }

    pub(super) fn group_interval() -> Millis {
        new_route().group_interval
    }

    pub(super) fn repeat_interval() -> Option<Millis> {
        new_route().repeat_interval
    }

    pub(super) fn yes() -> bool {
        true
    }
}

/// A route that is about to be made: the store gives the id.
pub(crate) fn new_route() -> Route {
    Route::new(RouteId::from(std::num::NonZeroU64::MIN), "")
}

impl Sent for RouteInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "managed_by"];
}

impl From<&Route> for RouteInput {
    fn from(route: &Route) -> Self {
        let references = |ids: &[ChannelId]| ids.iter().map(|id| Reference::id(id.get())).collect();
        let step =
            |step: &EscalationStep| StepInput { after: step.after, channels: references(&step.channels) };
        Self {
            name: route.name.clone(),
            position: route.position,
            matchers: route.matchers.clone(),
            channels: references(&route.channels),
            proceed: route.proceed,
            group_by: route.group_by.clone(),
            group_wait: route.group_wait,
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            schedule: route.schedule.clone(),
            only_worse: route.only_worse,
            send_recovery: route.send_recovery,
            escalate: route.escalate.iter().map(step).collect(),
            first_delay: route.first_delay,
        }
    }
}

/// Finds the channel that a reference names.
pub(crate) type FindChannel<'a> = &'a dyn Fn(&Reference) -> Option<ChannelId>;

impl RouteInput {
    /// The route that this makes of `base`.
    ///
    /// # Errors
    /// 422: what no route can be, a channel that is not there, with every place.
    pub(crate) fn into_route(self, channel: FindChannel<'_>, base: Route) -> Result<Route, Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        mistakes.conditions("/match", &self.matchers);
        mistakes.labels("/group_by", &self.group_by);
        self.validate_times(&mut mistakes);
        let channels = found("/channels", &self.channels, channel, &mut mistakes);
        let escalate = self.steps(channel, &mut mistakes);
        mistakes.into_result()?;
        Ok(Route {
            name: self.name,
            position: self.position,
            matchers: self.matchers,
            channels,
            proceed: self.proceed,
            group_by: self.group_by,
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            repeat_interval: self.repeat_interval,
            schedule: self.schedule,
            only_worse: self.only_worse,
            send_recovery: self.send_recovery,
            escalate,
            first_delay: self.first_delay,
            ..base
        })
    }

    fn validate_times(&self, mistakes: &mut Mistakes) {
        mistakes.span("/group_wait", self.group_wait, Millis::ZERO);
        mistakes.span("/group_interval", self.group_interval, Millis::ZERO);
        match self.repeat_interval {
            Some(Millis::ZERO) => {
                mistakes.add("/repeat_interval", "is 0; expected at least 1s, or null for never");
            }
            Some(span) => mistakes.span("/repeat_interval", span, Millis::from_secs(1)),
            None => {}
        }
        if let Some(span) = self.first_delay {
            mistakes.span("/first_delay", span, Millis::ZERO);
        }
    }

    fn steps(&self, channel: FindChannel<'_>, mistakes: &mut Mistakes) -> Vec<EscalationStep> {
        mistakes.require(self.escalate.len() <= MOST, "/escalate", "holds more than 100 steps");
        let mut before = Millis::ZERO;
        let mut steps = Vec::with_capacity(self.escalate.len());
        for (index, step) in self.escalate.iter().enumerate() {
            let place = format!("/escalate/{index}");
            mistakes.span(&format!("{place}/after"), step.after, Millis::new(1));
            if index > 0 && step.after <= before && step.after > Millis::ZERO {
                let detail = format!("is not later than the step before, which is after {before}");
                mistakes.add(format!("{place}/after"), detail);
            }
            let place = format!("{place}/channels");
            mistakes.require(
                !step.channels.is_empty(),
                &place,
                "is empty; a step tells at least one channel",
            );
            let channels = found(&place, &step.channels, channel, mistakes);
            steps.push(EscalationStep { after: step.after, channels });
            before = step.after;
        }
        steps
    }
}

/// The channels that are named, each once.
fn found(
    pointer: &str,
    references: &[Reference],
    channel: FindChannel<'_>,
    mistakes: &mut Mistakes,
) -> Vec<ChannelId> {
    mistakes.require(references.len() <= MOST, pointer, "names more than 100 channels");
    let mut ids = Vec::with_capacity(references.len());
    for (index, reference) in references.iter().enumerate() {
        match channel(reference) {
            None => mistakes.add(format!("{pointer}/{index}"), format!("there is no channel {reference}")),
            Some(id) if ids.contains(&id) => {
                mistakes
                    .add(format!("{pointer}/{index}"), format!("the channel {reference} stands here twice"));
            }
            Some(id) => ids.push(id),
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn route(fields: Value) -> Result<Route, Problem> {
        let Value::Object(mut all) = json!({"name": "ops"}) else { unreachable!() };
        all.extend(fields.as_object().unwrap().clone());
        let input: RouteInput = crate::http::json::from_fields(all)?;
        let known = |reference: &Reference| match reference.to_string().as_str() {
            "1" => ChannelId::new(1),
            "\"mail\"" => ChannelId::new(2),
            _ => None,
        };
        input.into_route(&known, new_route())
    }

    #[test]
    fn what_no_route_can_be_is_refused_at_its_place() {
        for (fields, words) in [
            (json!({"name": "a/b"}), "/name"),
            (json!({"match": ["agent"]}), "/match/0"),
            (json!({"match": ["agent=a", "agent=~("]}), "/match/1"),
            (json!({"channels": ["pager"]}), "/channels/0: there is no channel \"pager\""),
            (json!({"channels": ["mail", 2, "mail"]}), "errors"),
            (json!({"channels": [1, 1]}), "/channels/1: the channel 1 stands here twice"),
            (json!({"group_by": ["a b"]}), "/group_by/0"),
            (json!({"group_by": ["team", "team"]}), "/group_by/1"),
            (json!({"group_wait": "99999w"}), "/group_wait"),
            (json!({"repeat_interval": "0s"}), "null for never"),
            (json!({"schedule": "Mon-Fri 08:00-18:00 Europe/Berlni"}), "Europe/Berlin"),
            (json!({"escalate": [{"after": "1h", "channels": []}]}), "/escalate/0/channels"),
            (json!({"escalate": [{"after": "1h"}]}), "/escalate/0/channels"),
            (json!({"escalate": [{"after": "0s", "channels": [1]}]}), "/escalate/0/after"),
            (
                json!({"escalate": [{"after": "1h", "channels": [1]}, {"after": "1h", "channels": [1]}]}),
                "/escalate/1/after: is not later",
            ),
            (json!({"escalate": [{"after": "1h", "channles": [1]}]}), "channles"),
            (json!({"first_delay": "5"}), "/first_delay"),
        ] {
            let problem = route(fields.clone()).unwrap_err();
            assert_eq!(problem.status(), 422, "{fields}");
            assert!(problem.detail().contains(words), "{fields}: {}", problem.detail());
        }
    }

    #[test]
    fn a_route_that_is_shown_can_be_written_back() {
        let made = route(json!({
            "match": ["status=critical", "team=\"a b\""], "channels": [1], "continue": true, "group_by": ["agent"],
            "repeat_interval": null, "schedule": "Mon-Fri 08:00-18:00 Europe/Berlin", "first_delay": "1m",
            "escalate": [{"after": "30m", "channels": ["mail"]}], "position": 7
        }))
        .unwrap();
        let again: RouteInput =
            serde_json::from_value(serde_json::to_value(RouteInput::from(&made)).unwrap()).unwrap();
        let known = |reference: &Reference| reference.to_string().parse().ok();
        assert_eq!(again.into_route(&known, made.clone()).unwrap(), made);
        assert_eq!((made.repeat_interval, made.position, made.proceed), (None, 7, true));
    }
}
