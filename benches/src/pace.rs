//! When the next request is due: at once after an answer, or at its place in a steady rate.
//!
//! In an open loop a slow answer does not excuse the requests that should have been sent meanwhile: they go out late,
//! and are counted from when they were due (no *coordinated omission*). Only the lateness of our own timer is
//! forgiven, and at most a tick of it: a connection that was free had nothing to wait for.

use std::time::{Duration, Instant};

/// The resolution of the runtime's timer.
const TICK: Duration = Duration::from_millis(1);

/// The pace of one connection.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The next request follows the answer.
    Closed,
    /// A request each so often.
    Open {
        /// The time between two requests.
        every: Duration,
        /// When the next is due.
        due: Instant,
    },
}

impl Pace {
    /// The pace of one of `lanes` connections that together send `rate` requests a second; without a rate, closed.
    /// The connections begin one after the other, so that their requests don't come in bursts.
    #[must_use]
    pub fn new(rate: Option<f64>, lane: usize, lanes: usize, start: Instant) -> Self {
        match rate {
            None => Self::Closed,
            Some(rate) => {
                let gap = 1.0 / rate;
                let every = Duration::from_secs_f64(gap * lanes as f64);
                Self::Open { every, due: start + Duration::from_secs_f64(gap * lane as f64) }
            }
        }
    }

    /// When the next request is due, which is then taken as sent; `None`: now.
    pub fn take(&mut self) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::Open { every, due } => {
                let intended = *due;
                *due += *every;
                Some(intended)
            }
        }
    }
}

/// From when a request's time counts: it was due at `due`, the connection was free at `free`, it went out at `sent`.
#[must_use]
pub fn counted_from(due: Option<Instant>, free: Instant, sent: Instant) -> Instant {
    match due {
        None => sent,
        Some(due) if free > due => due,
        Some(due) => sent.min(due + TICK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_open_loop_spreads_its_rate_over_the_connections() {
        let start = clock::now();
        let mut dues = Vec::new();
        for lane in 0..4 {
            let mut pace = Pace::new(Some(1000.0), lane, 4, start);
            dues.extend((0..3).filter_map(|_| pace.take()));
        }
        dues.sort();
        let expected: Vec<_> = (0..12).map(|n| start + ms(n)).collect();
        assert_eq!(dues, expected);
    }

    #[test]
    fn a_late_answer_does_not_move_what_is_due() {
        let start = clock::now();
        let mut pace = Pace::new(Some(100.0), 0, 1, start);
        assert_eq!([pace.take(), pace.take()], [Some(start), Some(start + ms(10))]);
        // The answer to the first came after 50 ms: the second counts from when it was due.
        assert_eq!(counted_from(Some(start + ms(10)), start + ms(50), start + ms(50)), start + ms(10));
    }

    #[test]
    fn only_a_tick_of_our_own_lateness_is_forgiven() {
        let due = clock::now();
        let free = due - ms(5);
        let half = Duration::from_micros(500);
        assert_eq!(counted_from(Some(due), free, due + half), due + half);
        assert_eq!(counted_from(Some(due), free, due + ms(7)), due + ms(1));
    }

    #[test]
    fn a_closed_loop_counts_from_the_sending() {
        let start = clock::now();
        let mut pace = Pace::new(None, 3, 4, start);
        assert_eq!(pace.take(), None);
        assert_eq!(counted_from(None, start, start + ms(3)), start + ms(3));
    }
}
