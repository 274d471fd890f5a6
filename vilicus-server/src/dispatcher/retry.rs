//! When a message is tried again, and when it is given up. Pure: time and randomness come in as arguments.

use vilicus_core::{Millis, Timestamp};

/// The wait after the first failure; it doubles with each further one.
pub const FIRST_WAIT: Millis = Millis::from_secs(1);
/// The longest wait that is our own choice; a remote may ask for more.
pub const LONGEST_WAIT: Millis = Millis::from_minutes(5);
/// A message that is older than this and was tried in vain is given up.
pub const GIVE_UP_AFTER: Millis = Millis::from_hours(24);

/// How long to wait after `failures` failures in a row (from 1): full jitter, that is anything up to 1 s, 2 s, 4 s
/// … 5 min, and never less than the remote asked for.
///
/// `random` is any number of 64 random bits. Full jitter keeps many that failed together from coming back together.
#[must_use]
pub fn wait(failures: u32, asked: Option<Millis>, random: u64) -> Millis {
    let jittered = Millis::new(random % (ceiling(failures).get() + 1));
    jittered.max(asked.unwrap_or(Millis::ZERO))
}

/// The longest wait after `failures` failures in a row: 1 s, 2 s, 4 s … 5 min.
#[must_use]
pub fn ceiling(failures: u32) -> Millis {
    let doublings = failures.saturating_sub(1).min(32);
    FIRST_WAIT.times(1 << doublings).min(LONGEST_WAIT)
}

/// Whether a message that was made then is too old to be tried once more at `next`.
#[must_use]
pub fn is_too_old(created_at: Timestamp, next: Timestamp) -> bool {
    next.since(created_at) >= GIVE_UP_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        for (failures, longest) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (u32::MAX, 300)] {
            let ceiling = Millis::from_secs(longest);
            assert_eq!(wait(failures, None, ceiling.get()), ceiling, "failure {failures} may wait so long");
            for random in [0, 1, 999, u64::MAX, u64::MAX / 3] {
                assert!(wait(failures, None, random) <= ceiling, "failure {failures} waits no longer");
            }
        }
    }

    #[test]
    fn the_remotes_wish_is_obeyed_even_when_it_is_longer_than_ours() {
        let hour = Millis::from_hours(1);
        assert_eq!(wait(1, Some(hour), 0), hour);
        assert!(wait(10, Some(Millis::from_secs(1)), u64::MAX) >= Millis::from_secs(1));
    }

    #[test]
    fn a_message_is_given_up_after_a_day() {
        let made = Timestamp::EPOCH;
        assert!(!is_too_old(made, made.after(Millis::new(GIVE_UP_AFTER.get() - 1))));
        assert!(is_too_old(made, made.after(GIVE_UP_AFTER)));
    }
}
