//! When the silence of many agents is taken for the server's own blindness; the defaults and the meaning are those of
//! [`BlindnessLimits`].

use serde::Deserialize;
use vilicus_core::Millis;

use super::SettingsError;
use crate::self_check::BlindnessLimits;

/// What one source says of blindness.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlindnessLayer {
    /// At least this percentage of the agents, 1 to 100.
    pub percent: Option<u8>,
    /// And at least so many.
    pub agents: Option<usize>,
    /// How long their silence is held back.
    pub hold: Option<Millis>,
}

/// Puts the layers over the defaults.
pub(super) fn resolve(
    strong: BlindnessLayer,
    weak: BlindnessLayer,
) -> Result<BlindnessLimits, SettingsError> {
    let default = BlindnessLimits::default();
    let percent = strong.percent.or(weak.percent).unwrap_or(default.percent);
    if !(1..=100).contains(&percent) {
        return Err(SettingsError::BlindnessPercent(percent));
    }
    Ok(BlindnessLimits {
        percent,
        agents: strong.agents.or(weak.agents).unwrap_or(default.agents),
        hold: strong.hold.or(weak.hold).unwrap_or(default.hold),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_changes_what_it_names() {
        let strong = BlindnessLayer { percent: Some(80), ..BlindnessLayer::default() };
        let weak = BlindnessLayer { percent: Some(1), agents: Some(9), hold: None };
        let limits = resolve(strong, weak).unwrap();
        assert_eq!((limits.percent, limits.agents), (80, 9));
        assert_eq!(limits.hold, BlindnessLimits::default().hold);
        let none = BlindnessLayer { percent: Some(0), ..BlindnessLayer::default() };
        assert!(resolve(none, BlindnessLayer::default()).is_err());
    }
}
