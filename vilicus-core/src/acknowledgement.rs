//! Acknowledgements: someone is on it, so the problem is not told again until it changes.
//!
//! A normal one ends when the status changes in any way, a sticky one only when the check is OK and confirmed. Either
//! may expire. The judge ends them; whoever takes one back does so through the store.

use serde::{Deserialize, Serialize};

use crate::status::{StateType, Status};
use crate::time::Timestamp;

/// Someone is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who: the name of a token, or how a service calls them.
    pub by: String,
    /// What they say.
    pub comment: String,
    /// Since when.
    pub at: Timestamp,
    /// Whether it stands until the check is OK, whatever happens in between.
    pub sticky: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether what they say is told to everybody, on the status pages that the check is on.
    pub public: bool,
}

/// Why an acknowledgement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcknowledgementEnd {
    /// The status changed.
    StatusChanged,
    /// The check recovered.
    Recovered,
    /// Its time was over.
    Expired,
    /// Someone took it back.
    TakenBack,
}

impl Acknowledgement {
    /// Whether a step from one status to another ends it, and why.
    #[must_use]
    pub fn ended_by(
        &self,
        from: Option<Status>,
        to: Status,
        state_type: StateType,
    ) -> Option<AcknowledgementEnd> {
        let recovered = to == Status::Ok && state_type == StateType::Hard;
        if recovered {
            Some(AcknowledgementEnd::Recovered)
        } else if !self.sticky && from != Some(to) {
            Some(AcknowledgementEnd::StatusChanged)
        } else {
            None
        }
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_as_its_kind_says() {
        use AcknowledgementEnd::{Recovered, StatusChanged};
        use Status::{Critical, Ok, Warning};
        for (sticky, from, to, state_type, end) in [
            (false, Critical, Critical, StateType::Hard, None),
            (false, Critical, Warning, StateType::Hard, Some(StatusChanged)),
            (false, Critical, Ok, StateType::Hard, Some(Recovered)),
            (false, Critical, Ok, StateType::Soft, Some(StatusChanged)),
            (true, Critical, Warning, StateType::Hard, None),
            (true, Critical, Ok, StateType::Soft, None),
            (true, Critical, Ok, StateType::Hard, Some(Recovered)),
        ] {
            let acknowledgement = Acknowledgement {
                by: "ann".to_owned(),
                comment: String::new(),
                at: Timestamp::EPOCH,
                sticky,
                expires_at: None,
                public: false,
            };
            assert_eq!(acknowledgement.ended_by(Some(from), to, state_type), end, "{sticky} {from} {to}");
        }
    }
}
