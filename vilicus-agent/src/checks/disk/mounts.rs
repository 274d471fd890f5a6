//! Which file systems a host has, and which of them are real.
//!
//! Real is what stores files on a disk of this host. Left out are the kernel's own (proc, sysfs, tmpfs …), images
//! that are always full (squashfs, iso9660 …), and network and FUSE file systems, which may hang.

use std::collections::BTreeMap;

use crate::checks::glob::Glob;
use crate::checks::proc_file::{self, ProcError};

/// Images without free space, full by design.
const IMAGES: [&str; 5] = ["squashfs", "iso9660", "udf", "erofs", "cramfs"];

/// Without a block device for the kernel, and yet on disks of this host.
const POOLS: [&str; 2] = ["zfs", "bcachefs"];

/// Which file systems a check without a path looks at.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) include_types: Vec<String>,
    pub(super) exclude_types: Vec<String>,
    pub(super) exclude_paths: Vec<Glob>,
}

/// The mount points to look at, sorted; one for each file system, however often it is mounted.
pub(super) fn list(selection: &Selection) -> Result<Vec<String>, ProcError> {
    let mounts = parse(&proc_file::read("/proc/self/mountinfo")?);
    let block_types = block_types(&proc_file::read("/proc/filesystems")?);
    Ok(select(mounts, selection, &block_types))
}

fn select(mounts: Vec<Mount>, selection: &Selection, block_types: &[String]) -> Vec<String> {
    // What is mounted later on the same point hides what was there before.
    let visible: BTreeMap<String, Mount> =
        mounts.into_iter().map(|mount| (mount.point.clone(), mount)).collect();
    let mut by_device: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in visible.into_values().filter(|mount| selection.wants(mount, block_types)) {
        match by_device.get(&mount.device) {
            Some(known) if known.rank() <= mount.rank() => {}
            _ => drop(by_device.insert(mount.device.clone(), mount)),
        }
    }
    let mut points: Vec<String> = by_device.into_values().map(|mount| mount.point).collect();
    points.sort();
    points
}

impl Selection {
    fn wants(&self, mount: &Mount, block_types: &[String]) -> bool {
        let named = |types: &[String]| types.contains(&mount.kind);
        if named(&self.exclude_types) || self.exclude_paths.iter().any(|glob| glob.matches(&mount.point)) {
            return false;
        }
        named(&self.include_types) || mount.is_real(block_types)
    }
}

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    root: String,
    point: String,
    kind: String,
}

impl Mount {
    fn is_real(&self, block_types: &[String]) -> bool {
        let kind = self.kind.as_str();
        let on_device = block_types.iter().any(|block_type| block_type == kind) || POOLS.contains(&kind);
        // In a container the root is an overlay, on virtual machines it may be a share; it is still its root.
        (on_device || self.point == "/") && !kind.starts_with("fuse") && !IMAGES.contains(&kind)
    }

    /// The lowest is the best name of several: a whole file system before a bind mount, short before long.
    fn rank(&self) -> (bool, usize) {
        (self.root != "/", self.point.len())
    }
}

/// Reads `36 35 98:0 /root /point options … - type source options`.
fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut words = mount.split(' ').skip(2);
    let device = words.next()?.to_owned();
    let (root, point) = (unescape(words.next()?), unescape(words.next()?));
    Some(Mount { device, root, point, kind: file_system.split(' ').next()?.to_owned() })
}

/// Turns the kernel's `\040` back into the character, byte by byte.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if byte == b'\\' => {
                bytes.push(code);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The types that live on a block device: those lines of `/proc/filesystems` that do not say `nodev`.
fn block_types(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.starts_with("nodev")).map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw - proc proc rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 254:0 /docker/x /etc/hosts rw - ext4 /dev/vda rw
29 27 254:1 / /old rw - xfs /dev/vdb rw
30 27 254:2 / /old rw - xfs /dev/vdc rw
31 27 254:3 / /with\\040space rw - vfat /dev/vdd rw
32 27 0:50 / /home rw - nfs4 host:/home rw
33 27 0:51 / /remote rw - fuse.sshfs host:/ rw
34 27 7:0 / /snap/core ro - squashfs /dev/loop0 ro
35 27 0:60 / /tank rw - zfs tank rw
36 27 254:9 / /ntfs rw - fuseblk /dev/vde rw
broken line
";

    fn selected(selection: &Selection) -> Vec<String> {
        let types = block_types(
            "nodev\tproc\nnodev\ttmpfs\n\text4\n\txfs\n\tvfat\n\tsquashfs\n\tfuseblk\nnodev\tzfs\n",
        );
        select(parse(MOUNTS), selection, &types)
    }

    #[test]
    fn real_file_systems_are_listed_once_each() {
        assert_eq!(selected(&Selection::default()), ["/", "/old", "/tank", "/with space"]);
    }

    #[test]
    fn types_and_paths_are_left_out_or_added_by_name() {
        let selection = Selection {
            include_types: vec!["nfs4".into()],
            exclude_types: vec!["vfat".into()],
            exclude_paths: vec![Glob::new("/ta*").unwrap()],
        };
        assert_eq!(selected(&selection), ["/", "/home", "/old"]);
    }

    #[test]
    fn an_overlay_is_real_where_it_is_the_root() {
        let mounts =
            "1 0 0:40 / / rw - overlay overlay rw\n2 1 0:41 / /var/lib/docker/x rw - overlay overlay rw\n";
        assert_eq!(select(parse(mounts), &Selection::default(), &[]), ["/"]);
    }

    #[test]
    fn escapes_are_bytes() {
        for (text, plain) in
            [(r"a\040b\134c", r"a b\c"), (r"\303\244", "ä"), (r"a\", r"a\"), (r"\9zz", r"\9zz")]
        {
            assert_eq!(unescape(text), plain);
        }
    }
}
