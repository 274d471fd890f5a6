//! What the agent says of its machine and of itself when it checks in.

use serde_json::{Map, Value, json};
use sysinfo::System;

use crate::transport::CheckIn;

/// The facts that do not change while the agent runs.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    hostname: Option<String>,
    facts: Map<String, Value>,
}

impl Host {
    /// Asks the machine.
    pub(crate) fn read() -> Self {
        let facts = [
            ("os", System::long_os_version().ok().map(Value::from)),
            ("kernel", System::kernel_version().ok().map(Value::from)),
            ("architecture", Some(std::env::consts::ARCH.into())),
            ("cores", std::thread::available_parallelism().ok().map(|cores| cores.get().into())),
            ("memory_bytes", memory_bytes().map(Value::from)),
        ];
        let known = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self { hostname: hostname(), facts: known.collect() }
    }

    /// The name of the machine.
    pub(crate) fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// What to say now. The skew is in seconds, positive when this machine's clock is ahead of the server's.
    pub(crate) fn check_in(&self, skew: Option<f64>, buffered: u64, dropped: u64) -> CheckIn {
        let mut facts = self.facts.clone();
        facts.insert("clock_skew_seconds".to_owned(), json!(skew.unwrap_or(0.0)));
        facts.insert("buffered".to_owned(), buffered.into());
        facts.insert("dropped".to_owned(), dropped.into());
        CheckIn {
            hostname: self.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guid: None,
            facts,
        }
    }
}

/// The name of this machine.
pub(crate) fn hostname() -> Option<String> {
    System::host_name().ok()
}

fn memory_bytes() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.total_memory())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_in_names_the_machine_and_its_losses() {
        let check_in = Host::read().check_in(Some(-2.5), 3, 4);
        assert!(check_in.facts["memory_bytes"].as_u64().unwrap() > 0);
        assert_eq!(check_in.facts["clock_skew_seconds"], -2.5);
        assert_eq!((&check_in.facts["buffered"], &check_in.facts["dropped"]), (&json!(3), &json!(4)));
        assert!(!check_in.version.is_empty());
    }
}
