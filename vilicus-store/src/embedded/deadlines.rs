//! The moments at which silence, or time itself, becomes news, soonest first.
//!
//! A result moves the deadline of its check further away, a thousand times a second. So nothing is moved here: an
//! entry stands for the earliest moment at which there may be news, and is looked at again when it comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vilicus_core::{AgentId, CheckId, DowntimeId, Timestamp};

/// What a deadline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watch {
    /// An agent falls silent.
    Agent(AgentId),
    /// An agent that is not missed is retired.
    Expiry(AgentId),
    /// Results of a check, or pings of its job, stay out.
    Check(CheckId),
    /// Time alone may give a check something to tell.
    Look(CheckId),
    /// A window of a downtime opens or closes.
    Downtime(DowntimeId),
}

/// The deadlines to come.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Timestamp, Watch)>>,
}

impl Deadlines {
    /// Adds a deadline.
    pub(crate) fn push(&mut self, at: Timestamp, watch: Watch) {
        self.heap.push(Reverse((at, watch)));
    }

    /// Makes room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.heap.reserve_exact(more);
    }

    /// The earliest one.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest one out, when it has passed.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Watch)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }
}
