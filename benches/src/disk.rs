//! What was written to the block devices of this machine, by everybody, and what a folder takes.
//!
//! `/proc/PID/io` counts pages that are dirtied, some of them more than once; what reached the disk is known here.

use std::fs;
use std::io;
use std::path::Path;

use crate::Failure;

/// The unit of `/sys/block/*/stat`, whatever the device's own sector is.
const SECTOR: u64 = 512;

/// Devices that are other devices' shadow, or no disk.
const SHADOWS: [&str; 6] = ["dm-", "loop", "md", "ram", "sr", "zram"];

/// The bytes that were written to all disks since the machine started.
///
/// # Errors
/// There is no `/sys/block`.
pub fn bytes_written() -> Result<u64, Failure> {
    let mut total = 0;
    for device in fs::read_dir("/sys/block")? {
        let device = device?;
        let name = device.file_name().to_string_lossy().into_owned();
        if SHADOWS.iter().any(|shadow| name.starts_with(shadow)) {
            continue;
        }
        let stat = fs::read_to_string(device.path().join("stat"))?;
        total += written_of(&stat).ok_or_else(|| format!("the stat of {name} says: {stat}"))?;
    }
    Ok(total)
}

fn written_of(stat: &str) -> Option<u64> {
    Some(stat.split_whitespace().nth(6)?.parse::<u64>().ok()? * SECTOR)
}

/// The bytes of the blocks that the files under a folder take. What is removed meanwhile takes none.
///
/// # Errors
/// The folder cannot be read.
pub fn size(path: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        total += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()).unwrap_or(0),
            Ok(metadata) => metadata.blocks() * 512,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_field_is_sectors_written() {
        let stat = "  100 1 2000 30  400 5 6000 70  0 80 90 0 0 0 0 0 0\n";
        assert_eq!(written_of(stat), Some(6000 * 512));
        assert_eq!(written_of("1 2 3"), None);
    }
}
