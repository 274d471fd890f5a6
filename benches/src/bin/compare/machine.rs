//! When and where a table was made: without that, its figures mean nothing.

use std::fs;
use std::thread::available_parallelism;

use vilicus_benches::{Failure, clock};
use vilicus_core::Timestamp;

/// The date, the machine and the command, in a line.
pub(crate) fn described() -> Result<String, Failure> {
    let now = Timestamp::from_millis(clock::unix_ms()).to_string();
    let date = now.split('T').next().unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Ok(format!(
        "{date}, {} × {}, Linux {}, `compare {}`",
        available_parallelism()?,
        model(&cpuinfo),
        kernel.trim(),
        arguments.join(" ")
    ))
}

fn model(cpuinfo: &str) -> &str {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown processor", |(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_a_name_or_is_unknown() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Abacus 7\n"), "Abacus 7");
        assert_eq!(model(""), "unknown processor");
    }
}
