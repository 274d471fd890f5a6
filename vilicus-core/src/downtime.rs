//! Downtimes: planned silence. Checks run on, counters and states move on, and problems are not told.
//!
//! A fixed one lasts from its start up to its end. A flexible one begins with the first problem inside its window and
//! lasts its duration, beyond the window if need be. A recurring one has a window again and again. Overlaps add up.

use serde::{Deserialize, Serialize};

use crate::id::DowntimeId;
use crate::judge::gates::Planned;
use crate::route::{Labels, Matcher, all_match};
use crate::schedule::{Recurrence, Window};
use crate::state::CheckState;
use crate::status::Status;
use crate::time::{Millis, Timestamp};

/// A planned silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Downtime {
    /// Its id.
    pub id: DowntimeId,
    /// The checks that it is about: those that meet all of these conditions.
    pub matchers: Vec<Matcher>,
    /// When.
    pub when: When,
    /// In a flexible one: how long it lasts from the first problem inside a window on.
    pub flexible: Option<Millis>,
    /// What for.
    pub comment: String,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The file that manages it.
    pub managed_by: Option<String>,
}

/// When a downtime is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Once.
    Once(Window),
    /// Again and again.
    Recurring(Recurrence),
}

/// A flexible downtime that a problem of a check began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Which downtime.
    pub downtime: DowntimeId,
    /// When it began.
    pub at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

impl Downtime {
    /// Whether it is about a check with these labels.
    #[must_use]
    pub fn is_about(&self, labels: &Labels<'_>) -> bool {
        all_match(&self.matchers, labels)
    }

    /// The window that is open at this moment.
    #[must_use]
    pub fn window_at(&self, now: Timestamp) -> Option<Window> {
        match &self.when {
            When::Once(window) => (window.start <= now && now < window.end).then_some(*window),
            When::Recurring(recurrence) => recurrence.window_at(now),
        }
    }

    /// The next moment after `now` at which a window opens or closes.
    #[must_use]
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        if let Some(window) = self.window_at(now) {
            return Some(window.end);
        }
        match &self.when {
            When::Once(window) => (now < window.start).then_some(window.start),
            When::Recurring(recurrence) => recurrence.next_window(now).map(|window| window.start),
        }
    }

    /// Whether a problem began this one in the window that is open now.
    fn began_in_window(&self, begun: &Begun, now: Timestamp) -> bool {
        begun.downtime == self.id && self.window_at(now).is_some_and(|window| window.start <= begun.at)
    }

    /// Whether it will never again hold anything back, except what a problem began.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.window_at(now).is_none() && self.next_turn(now).is_none()
    }
}

/// Begins the flexible downtimes whose window is open, when the check has a problem: each once a window. Returns those
/// that began. What has ended is remembered while its window is open, and then forgotten.
pub fn begin_flexible<'a>(
    downtimes: impl Iterator<Item = &'a Downtime>,
    state: &mut CheckState,
    now: Timestamp,
) -> Vec<Begun> {
    let downtimes: Vec<&Downtime> = downtimes.filter(|downtime| downtime.flexible.is_some()).collect();
    let is_spent_here = |begun: &Begun| downtimes.iter().any(|downtime| downtime.began_in_window(begun, now));
    state.begun.retain(|begun| now < begun.until || is_spent_here(begun));
    if !state.status.is_some_and(Status::is_problem) {
        return Vec::new();
    }
    let mut began = Vec::new();
    for downtime in downtimes {
        let Some(lasts) = downtime.flexible.filter(|_| downtime.window_at(now).is_some()) else { continue };
        if state.begun.iter().any(|begun| downtime.began_in_window(begun, now)) {
            continue;
        }
        let begun = Begun { downtime: downtime.id, at: now, until: now.after(lasts) };
        state.begun.push(begun);
        began.push(begun);
    }
    began
}

/// The downtime at work that ends last, of those that are about a check whose problem has begun these flexible ones.
pub fn planned<'a>(
    downtimes: impl Iterator<Item = &'a Downtime>,
    begun: &[Begun],
    now: Timestamp,
) -> Option<Planned<'a>> {
    let until = |downtime: &Downtime| match downtime.flexible {
        None => downtime.window_at(now).map(|window| window.end),
        Some(_) => {
            let mut begun = begun.iter().filter(|begun| begun.downtime == downtime.id && now < begun.until);
            begun.next().map(|begun| begun.until)
        }
    };
    let at_work = downtimes
        .filter_map(|downtime| Some(Planned { comment: &downtime.comment, until: until(downtime)? }));
    at_work.max_by_key(|planned| planned.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn downtime(flexible: Option<u64>) -> Downtime {
        Downtime {
            id: DowntimeId::new(1).unwrap(),
            matchers: Vec::new(),
            when: When::Once(Window { start: at(100), end: at(200) }),
            flexible: flexible.map(Millis::from_secs),
            comment: "kernel".to_owned(),
            by: "ann".to_owned(),
            created_at: at(0),
            managed_by: None,
        }
    }

    fn until(downtime: &Downtime, state: &CheckState, now: i64) -> Option<Timestamp> {
        planned([downtime].into_iter(), &state.begun, at(now)).map(|planned| planned.until)
    }

    #[test]
    fn a_fixed_one_lasts_up_to_its_end() {
        let (fixed, state) = (downtime(None), CheckState::default());
        for (now, expected) in [(99, None), (100, Some(200)), (199, Some(200)), (200, None)] {
            assert_eq!(until(&fixed, &state, now), expected.map(at), "{now}");
        }
        let turns = [(0, Some(100)), (100, Some(200)), (200, None)];
        assert_eq!(turns.map(|(now, _)| fixed.next_turn(at(now))), turns.map(|(_, turn)| turn.map(at)));
        assert!(fixed.is_over(at(200)) && !fixed.is_over(at(199)));
    }

    #[test]
    fn a_flexible_one_begins_with_the_first_problem_inside_its_window() {
        let flexible = downtime(Some(300));
        let mut state = CheckState { status: Some(Status::Critical), ..CheckState::default() };
        let mut begin = |now, status| {
            state.status = Some(status);
            begin_flexible([&flexible].into_iter(), &mut state, at(now)).len()
        };
        assert_eq!(begin(99, Status::Critical), 0, "the window is not open");
        assert_eq!(begin(120, Status::Ok), 0, "there is no problem");
        assert_eq!(begin(150, Status::Warning), 1);
        assert_eq!(begin(160, Status::Critical), 0, "it began already");
        for (now, expected) in [(150, Some(450)), (449, Some(450)), (450, None)] {
            assert_eq!(until(&flexible, &state, now), expected.map(at), "{now}");
        }
    }

    #[test]
    fn a_flexible_one_that_is_spent_does_not_begin_again_in_its_window() {
        let flexible = downtime(Some(20));
        let mut state = CheckState { status: Some(Status::Critical), ..CheckState::default() };
        let mut begin = |now| begin_flexible([&flexible].into_iter(), &mut state, at(now)).len();
        assert_eq!([110, 130, 150, 199].map(&mut begin), [1, 0, 0, 0]);
        assert_eq!(until(&flexible, &state, 150), None, "it lasted up to 130");
        let _ = begin_flexible([&flexible].into_iter(), &mut state, at(200));
        assert!(state.begun.is_empty(), "with its window it is forgotten");
    }
}
