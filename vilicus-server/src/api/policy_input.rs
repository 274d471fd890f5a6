//! A policy to be tried: those fields of a check that the judge looks at, each of which may be left out.

use serde::Deserialize;
use utoipa::ToSchema;
use vilicus_core::{Millis, Status, Thresholds};
use vilicus_store::inventory::CheckSettings;
use vilicus_store::query::CheckView;

use super::check_input::CheckInput;
use crate::http::Problem;
use crate::http::json::{Sent, present};

/// What is wanted of a check, on top of what is wanted of it now.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct PolicyInput {
    /// How often it runs.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    interval: Option<Millis>,
    /// How often it runs while soft.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    retry_interval: Option<Millis>,
    /// After this time a run is dropped.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    timeout: Option<Millis>,
    /// How much later than expected a result may be.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    grace: Option<Millis>,
    /// A problem is hard after so many results that were not OK …
    #[serde(deserialize_with = "present")]
    max_attempts: Option<u32>,
    /// … of so many.
    #[serde(deserialize_with = "present")]
    within: Option<u32>,
    /// So many good results in a row before OK is hard again.
    #[serde(deserialize_with = "present")]
    recover_attempts: Option<u32>,
    /// The status of a run that timed out. What is stored was judged by the agent, so it changes nothing.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    timeout_status: Option<Status>,
    /// What is wanted of its metrics, by their names: all of them.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    thresholds: Option<Thresholds>,
    /// Whether every hard problem result is told.
    #[serde(deserialize_with = "present")]
    volatile: Option<bool>,
    /// Whether people are told at all.
    #[serde(deserialize_with = "present")]
    notifications: Option<bool>,
    /// Whether it may be called flapping.
    #[serde(deserialize_with = "present")]
    flap_detection: Option<bool>,
    /// Below this percentage of changes flapping stops.
    #[serde(deserialize_with = "present")]
    flap_low: Option<f64>,
    /// Above this percentage of changes flapping starts.
    #[serde(deserialize_with = "present")]
    flap_high: Option<f64>,
}

impl Sent for PolicyInput {
    const READ_ONLY: &'static [&'static str] = &[];
}

impl PolicyInput {
    /// The settings of this check with what is given here in their place; judged as a change of the check would be.
    ///
    /// # Errors
    /// 422: what no check can be, with every place.
    pub(super) fn onto(self, view: &CheckView) -> Result<CheckSettings, Problem> {
        let mut check = CheckInput::from(&*view.check);
        // A window that was wide enough for fewer attempts grows with them, unless it is given too.
        if let (Some(attempts), None) = (self.max_attempts, self.within) {
            check.within = check.within.filter(|within| *within >= attempts);
        }
        check.interval = self.interval.or(check.interval);
        check.retry_interval = self.retry_interval.or(check.retry_interval);
        check.within = self.within.or(check.within);
        put(&mut check.timeout, self.timeout);
        put(&mut check.grace, self.grace);
        put(&mut check.max_attempts, self.max_attempts);
        put(&mut check.recover_attempts, self.recover_attempts);
        put(&mut check.timeout_status, self.timeout_status);
        put(&mut check.thresholds, self.thresholds);
        put(&mut check.volatile, self.volatile);
        put(&mut check.notifications, self.notifications);
        put(&mut check.flap_detection, self.flap_detection);
        put(&mut check.flap_low, self.flap_low);
        put(&mut check.flap_high, self.flap_high);
        check.validate()?;
        Ok(check.settings(None))
    }
}

/// Puts what is given in the place of what was there.
fn put<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}
