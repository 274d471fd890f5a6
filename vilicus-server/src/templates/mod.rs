//! Which checks templates make: for every agent that a template applies to, now and later.
//!
//! A template applies to an agent that names it, and to every agent whose labels meet its conditions; one without
//! conditions applies to those alone that name it. Its checks are then checks of the agent like any other, marked with
//! `template:NAME`. A check of the same name that someone made by hand, that a file manages, or that the agent brings
//! itself stands before a template's; of two templates, the one whose name comes first.
//!
//! | file | its part |
//! |---|---|
//! | `read` | the checks as they stand in a template |
//! | `agent` | what all templates together make of one agent's checks |
//! | `following` | what a change of agents, checks or templates leads to, written in the same step |

mod agent;
mod following;
mod read;

use std::num::NonZeroU64;

use vilicus_store::inventory::Check;
use vilicus_store::store::PROVISIONAL;

pub(crate) use self::agent::{Outcome, for_agent, in_order, leads_to};
pub(crate) use self::following::following;
pub(crate) use self::read::{Read, each_secret, read_check, refuse_circles};

/// What the checks of templates are marked with, before the name of the template.
const MARK: &str = "template:";
/// The most checks of a template.
pub(crate) const MAX_CHECKS: usize = 1_000;

/// What the checks of this template are marked with.
pub(crate) fn mark(template: &str) -> String {
    format!("{MARK}{template}")
}

/// Whether a template made this check.
pub(crate) fn is_made(check: &Check) -> bool {
    check.managed_by.as_ref().is_some_and(|by| by.starts_with(MARK))
}

/// Gives out numbers for objects that are made in one commit and refer to each other.
#[derive(Debug)]
pub(crate) struct Provisional(u64);

impl Provisional {
    /// The first number.
    pub(crate) fn new() -> Self {
        Self(PROVISIONAL)
    }

    /// Begins after these numbers.
    fn after(self, given: impl Iterator<Item = u64>) -> Self {
        Self(given.fold(self.0, u64::max))
    }

    /// The next number as an id.
    pub(crate) fn next<T: From<NonZeroU64>>(&mut self) -> T {
        self.0 += 1;
        T::from(NonZeroU64::new(self.0).unwrap_or(NonZeroU64::MAX))
    }
}
