//! Typed ids: a check's id can't be passed where an agent's is wanted.
//!
//! Every id is a positive integer given out by the store. On the wire they are plain numbers.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not a positive integer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: '{0}' (expected a positive integer)")]
pub struct ParseIdError(String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id with this number, or `None` for 0, which is no id.
            #[must_use]
            pub const fn new(number: u64) -> Option<Self> {
                match NonZeroU64::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse().ok().filter(|_| digits).and_then(Self::new) {
                    Some(id) => Ok(id),
                    None => Err(ParseIdError(text.chars().take(40).collect())),
                }
            }
        }

        impl From<NonZeroU64> for $name {
            fn from(number: NonZeroU64) -> Self {
                Self(number)
            }
        }
    )*};
}

ids! {
    /// The id of an agent.
    AgentId
    /// The id of a check.
    CheckId
    /// The id of a channel, that is of a configured notifier.
    ChannelId
    /// The id of a token.
    TokenId
    /// The id of an event. Ids grow with time.
    EventId
    /// The id of a notification, that is of one row of the outbox. Ids grow with time.
    NotificationId
    /// The id of a route.
    RouteId
    /// The id of a downtime.
    DowntimeId
    /// The id of an inhibition.
    InhibitionId
    /// The id of a template of checks.
    TemplateId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_integers_are_ids() {
        assert_eq!("7".parse::<CheckId>().unwrap().get(), 7);
        for text in ["", "0", "-1", "+1", "1.0", "x", "18446744073709551616"] {
            assert!(text.parse::<CheckId>().is_err(), "{text}");
        }
    }
}
