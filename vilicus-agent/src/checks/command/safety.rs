//! Refuses programs that other users could have changed.
//!
//! Writable by everybody is what counts: the program, the folder that it is in, and the folders above, since who
//! can write those can exchange what is below. A sticky folder (as `/tmp`) lets only the owner of a file exchange
//! it, so it is fine above, and around a program that belongs to root or to the agent's own user. Asked both of the
//! path as given and of the program that it leads to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Looks at the program and its folders; the refusal is the text of the result.
pub(super) fn inspect(command: &str) -> Result<(), String> {
    // What is not there is refused in plugins' own words when it is run.
    let Ok(target) = fs::canonicalize(command) else { return Ok(()) };
    if mode(&target) & WRITABLE_BY_OTHERS != 0 {
        return Err(refusal(&target));
    }
    inspect_folders(Path::new(command), owner(Path::new(command)))?;
    inspect_folders(&target, owner(&target))
}

fn inspect_folders(program: &Path, owner: Option<u32>) -> Result<(), String> {
    for (above, folder) in program.ancestors().skip(1).enumerate() {
        let mode = mode(folder);
        let kept_safe = mode & STICKY != 0 && (above > 0 || is_trusted(owner));
        if mode & WRITABLE_BY_OTHERS != 0 && !kept_safe {
            return Err(refusal(folder));
        }
    }
    Ok(())
}

/// Whose the file is, or the link if it is one.
fn owner(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|metadata| metadata.uid())
}

fn is_trusted(owner: Option<u32>) -> bool {
    owner.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.mode())
}

fn refusal(path: &Path) -> String {
    let path = path.display();
    format!("not run: everybody can write {path}; take that away with chmod o-w {path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_everybody_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("plugins");
        fs::create_dir(&inner).unwrap();
        let program = inner.join("check");
        fs::write(&program, "").unwrap();
        symlink(&program, folder.path().join("link")).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (name, outer_mode, inner_mode, mode, through_link, fine) in [
            ("all is well", 0o755, 0o755, 0o755, false, true),
            ("the group may write", 0o775, 0o775, 0o775, false, true),
            ("the program is writable", 0o755, 0o755, 0o757, false, false),
            ("the program is writable, behind a link", 0o755, 0o755, 0o757, true, false),
            ("its folder is writable", 0o755, 0o777, 0o755, false, false),
            ("its folder is writable and sticky, and it is ours", 0o755, 0o1777, 0o755, false, true),
            ("a folder above is writable", 0o777, 0o755, 0o755, false, false),
            ("a folder above is writable and sticky", 0o1777, 0o755, 0o755, false, true),
            ("the folder of the link is writable", 0o777, 0o755, 0o755, true, false),
        ] {
            set(&program, mode);
            set(&inner, inner_mode);
            set(folder.path(), outer_mode);
            let path = if through_link { folder.path().join("link") } else { program.clone() };
            assert_eq!(inspect(path.to_str().unwrap()).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn somebody_elses_program_in_a_sticky_folder_is_refused() {
        let own = rustix::process::geteuid().as_raw();
        for (owner, fine) in [(Some(0), true), (Some(own), true), (Some(4242), false), (None, false)] {
            assert_eq!(inspect_folders(Path::new("/tmp/check"), owner).is_ok(), fine, "{owner:?}");
        }
    }

    #[test]
    fn the_usual_plugins_may_run() {
        assert_eq!(inspect("/usr/lib/nagios/plugins/check_load"), Ok(()));
    }
}
