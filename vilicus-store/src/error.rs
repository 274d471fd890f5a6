//! What can go wrong with a store, by what the caller does next.

use vilicus_core::{Millis, Timestamp};

use crate::engine::EngineError;

/// A store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot write now. Nothing of the commit was kept; try again.
    #[error("the store cannot write now; try again in {retry_after}")]
    Unwritable {
        /// When to try again.
        retry_after: Millis,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// More waits for the store than it may hold. Nothing of the commit was kept; try again.
    #[error("the store has more waiting than it may hold; try again in {retry_after}")]
    Busy {
        /// When to try again.
        retry_after: Millis,
    },
    /// A change was refused. Nothing of the commit was kept.
    #[error("change {index} was refused")]
    Refused {
        /// Which input of the commit, from 0.
        index: usize,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// What is kept cannot be read.
    #[error("what is kept in {place} cannot be read; restore a backup or move it aside")]
    Corrupt {
        /// Where, in words.
        place: String,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// This kind of store makes no backups.
    #[error("this kind of store makes no backups; use the tools of its database")]
    NoBackup,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The engine failed to read.
    #[error("the store cannot read")]
    Unreadable(#[source] EngineError),
}

impl StoreError {
    /// When the same call may pass; `None` when it never will.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        match self {
            Self::Unwritable { retry_after, .. } | Self::Busy { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The object does not exist.
    #[error("there is no {object} {id}")]
    NotFound {
        /// The kind of object, as `check`.
        object: &'static str,
        /// Its id.
        id: u64,
    },
    /// Another object has this name, or this guid.
    #[error("the {field} '{value}' is taken by {object} {id}")]
    Taken {
        /// The kind of object, as `check`.
        object: &'static str,
        /// The id of the other one.
        id: u64,
        /// `name` or `guid`.
        field: &'static str,
        /// The text.
        value: String,
    },
    /// The token was used as often as it may be, or is gone.
    #[error("the token is used up")]
    UsedUp,
    /// The object was changed since the caller read it.
    #[error("the {object} {id} was changed by someone else since it was read")]
    Changed {
        /// The kind of object, as `check`.
        object: &'static str,
        /// Its id.
        id: u64,
    },
    /// There is nothing to acknowledge.
    #[error("check {check} has no problem")]
    NoProblem {
        /// The id of the check.
        check: u64,
    },
    /// The moment is too old to be kept.
    #[error("{timestamp} is older than results are kept")]
    TooOld {
        /// The moment.
        timestamp: Timestamp,
    },
}
