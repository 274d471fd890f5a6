//! When no news is news: results that stay out, and agents that fall silent.
//!
//! Silence is measured by the server's receive time, so back-dated results and wrong clocks are not silence.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::state::CheckState;
use crate::time::{Millis, Timestamp};

/// A gap between two contacts longer than the agent's interval by a quarter of it, or at least by this much, ends the
/// run of contact: agents that a cron job starts are not exact.
const CONTACT_SLACK: Millis = Millis::from_secs(5);
/// After a start, no deadline falls earlier than this, or than the silence allowed, whichever is shorter.
const LONGEST_START_WINDOW: Millis = Millis::from_minutes(5);

/// When an agent was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The longest that the agent stays silent when all is well.
    pub check_interval: Millis,
    /// How much longer it may be silent before that is news.
    pub grace: Millis,
    /// The last contact; `None` while it was never heard of.
    pub last: Option<Timestamp>,
    /// Since when it has been in contact without a gap.
    pub since: Option<Timestamp>,
}

impl Contact {
    /// An agent that was never heard of.
    #[must_use]
    pub const fn new(check_interval: Millis) -> Self {
        Self { check_interval, grace: Millis::from_secs(30), last: None, since: None }
    }

    /// Notes that the agent was heard of at this moment.
    pub fn note(&mut self, at: Timestamp) {
        let slack = Millis::new(self.check_interval.get() / 4).max(CONTACT_SLACK);
        let longest = self.check_interval.plus(slack);
        // A last contact in the future means that a clock was repaired: it counts no longer.
        let unbroken = self.last.is_some_and(|last| last <= at && at.since(last) <= longest);
        if !unbroken || self.since.is_none() {
            self.since = Some(at);
        }
        self.last = Some(at);
    }

    /// How long the agent may be silent: `check_interval × 2 + grace`.
    #[must_use]
    pub const fn allowed_silence(&self) -> Millis {
        self.check_interval.times(2).plus(self.grace)
    }

    /// The moment at which the agent's silence becomes news; `None` while it was never heard of.
    #[must_use]
    pub fn down_at(&self, start: Start) -> Option<Timestamp> {
        let deadline = self.last?.after(self.allowed_silence());
        Some(start.hold(deadline, self.allowed_silence()))
    }
}

/// The moment at which the server was ready to receive. Its own downtime is nobody's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(pub Timestamp);

impl Start {
    /// A deadline that fell while the server was down, or falls so soon after its start that nobody could have kept
    /// it, moves to the end of that window. All others stand.
    #[must_use]
    pub fn hold(self, deadline: Timestamp, allowed: Millis) -> Timestamp {
        deadline.max(self.0.after(allowed.min(LONGEST_START_WINDOW)))
    }
}

/// How long results may stay out: `interval × 2 + timeout + grace`.
#[must_use]
pub const fn allowed_gap(policy: &Policy) -> Millis {
    policy.interval.times(2).plus(policy.timeout).plus(policy.grace)
}

/// The moment at which the absence of results becomes news, if the agent is in contact then.
///
/// A check that never reported counts from when it was first delivered to its agent. `None` when it was never
/// delivered, or is known to be stale.
#[must_use]
pub fn stale_at(
    policy: &Policy,
    state: &CheckState,
    delivered: Option<Timestamp>,
    contact: &Contact,
    start: Start,
) -> Option<Timestamp> {
    if state.stale {
        return None;
    }
    let last = state.last_received_at.max(delivered)?;
    let from = contact.since.map_or(last, |since| since.max(last));
    Some(start.hold(from.after(allowed_gap(policy)), allowed_gap(policy)))
}

/// Whether the absence of results at this deadline is the check's own: the agent was heard of after it.
#[must_use]
pub fn is_stale(deadline: Timestamp, contact: &Contact) -> bool {
    contact.last.is_some_and(|last| last >= deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    const LONG_AGO: Start = Start(Timestamp::from_millis(-86_400_000));

    #[test]
    fn an_agent_is_down_after_two_intervals_and_grace() {
        let mut contact = Contact::new(Millis::from_secs(60));
        assert_eq!(contact.down_at(LONG_AGO), None);
        contact.note(at(100));
        assert_eq!(contact.down_at(LONG_AGO), Some(at(250)));
    }

    #[test]
    fn a_repaired_clock_does_not_hide_silence() {
        let mut contact = Contact::new(Millis::from_secs(60));
        contact.note(at(1_000_000));
        contact.note(at(100));
        assert_eq!(contact.down_at(LONG_AGO), Some(at(250)));
    }

    #[test]
    fn the_servers_downtime_is_nobodys_silence() {
        let mut contact = Contact::new(Millis::from_secs(60));
        contact.note(at(0));
        assert_eq!(contact.down_at(Start(at(10_000))), Some(at(10_150)));
        assert_eq!(contact.down_at(Start(at(50))), Some(at(200)));
        let mut slow = Contact::new(Millis::from_hours(24));
        slow.note(at(0));
        assert_eq!(slow.down_at(Start(at(1000))), Some(at(2 * 86_400 + 30)));
    }

    #[test]
    fn silence_of_a_host_is_not_silence_of_its_checks() {
        let policy = Policy::new(Millis::from_secs(10));
        let state = CheckState { last_received_at: Some(at(0)), ..CheckState::default() };
        let mut contact = Contact::new(Millis::from_secs(60));
        contact.note(at(0));
        let deadline = stale_at(&policy, &state, None, &contact, LONG_AGO).unwrap();
        assert_eq!(deadline, at(60));
        assert!(!is_stale(deadline, &contact), "nothing was heard since");
        contact.note(at(600));
        assert_eq!(
            stale_at(&policy, &state, None, &contact, LONG_AGO),
            Some(at(660)),
            "it is back: counts anew"
        );
        for seconds in [620, 640, 661] {
            contact.note(at(seconds));
        }
        assert!(is_stale(at(660), &contact), "in contact, and the check is not");
    }

    #[test]
    fn a_check_that_never_reported_counts_from_its_delivery() {
        let policy = Policy::new(Millis::from_secs(60));
        let contact = Contact::new(Millis::from_secs(60));
        let state = CheckState::default();
        assert_eq!(stale_at(&policy, &state, None, &contact, LONG_AGO), None);
        assert_eq!(stale_at(&policy, &state, Some(at(5)), &contact, LONG_AGO), Some(at(165)));
    }
}
