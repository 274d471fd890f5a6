//! Users by name or number, as `/etc/passwd` has them. Users that only a directory service knows are not seen.

use std::io;

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
}

impl Account {
    /// The account of this name.
    pub(super) fn named(name: &str) -> io::Result<Option<Self>> {
        Self::find(|account| account.name == name)
    }

    /// The account of this number.
    pub(super) fn numbered(uid: u32) -> io::Result<Option<Self>> {
        Self::find(|account| account.uid == uid)
    }

    fn find(wanted: impl Fn(&Self) -> bool) -> io::Result<Option<Self>> {
        let bytes = std::fs::read("/etc/passwd")?;
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(Self::parse).find(wanted))
    }

    /// Reads `name:password:uid:gid:comment:home:shell`.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        Some(Self {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_number() {
        let root = Account::named("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/root"));
        assert_eq!(Account::numbered(0).unwrap(), Some(root));
        assert_eq!(Account::named("no-such-user").unwrap(), None);
        assert_eq!(Account::parse("+::::::"), None);
    }
}
