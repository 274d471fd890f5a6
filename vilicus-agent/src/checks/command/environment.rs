//! The environment of a plugin: fixed, but for the few names that the agent's own file lets a check set.

use std::collections::BTreeMap;

use crate::checks::accounts::Account;

/// Where plugins look for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that decide which code a program runs. No list of the agent's can allow them.
const NEVER: [&str; 35] = [
    "PATH",
    "IFS",
    "ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS4",
    "CDPATH",
    "GLOBIGNORE",
    "PROMPT_COMMAND",
    "SHELL",
    "BASH_ENV",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "JAVA_OPTS",
    "JAVA_HOME",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "TCLLIBPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "NLSPATH",
    "GLIBC_TUNABLES",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    "SSH_ASKPASS",
];

/// The same, by how they begin.
const NEVER_BEGINNING: [&str; 15] = [
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "PERL",
    "PYTHON",
    "RUBY",
    "GEM_",
    "BUNDLE_",
    "NODE_",
    "NPM_",
    "LUA_",
    "GIT_",
    "MALLOC_",
    "GUILE_",
    "R_",
];

/// Whether a check could ever set a variable of this name; if not, why.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("a name has only letters, digits and _, and does not begin with a digit");
    }
    let listed = NEVER.contains(&name) || NEVER_BEGINNING.iter().any(|beginning| name.starts_with(beginning));
    if listed { Err("can never be set: it can change which code a program runs") } else { Ok(()) }
}

/// The whole environment of a plugin.
pub(super) fn of_child(home: &str, extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fixed = [("PATH", PATH), ("LC_ALL", "C.UTF-8"), ("HOME", home)];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.chain(extra.clone()).collect()
}

/// The home folder of the agent's own user; `/` when it has none.
pub(super) fn own_home() -> String {
    let own = Account::numbered(rustix::process::geteuid().as_raw());
    own.ok().flatten().map_or_else(|| "/".to_owned(), |account| account.home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_change_the_code_are_never_allowed() {
        for name in ["PATH", "IFS", "LD_PRELOAD", "BASH_ENV", "PERL5LIB", "PYTHONPATH", "NODE_OPTIONS", "ENV"]
        {
            assert!(check_name(name).unwrap_err().contains("never"), "{name}");
        }
        for name in ["", "A B", "1A", "A=B", "ä", "BASH_FUNC_x%%", "A\n"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["SNMP_COMMUNITY", "_x", "http_proxy", "PGPASSWORD"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_environment_is_fixed_but_for_what_is_added() {
        let extra = BTreeMap::from([("COMMUNITY".to_owned(), "x".to_owned())]);
        let environment = of_child("/root", &extra);
        assert_eq!(environment.keys().collect::<Vec<_>>(), ["COMMUNITY", "HOME", "LC_ALL", "PATH"]);
        assert_eq!((environment["LC_ALL"].as_str(), environment["HOME"].as_str()), ("C.UTF-8", "/root"));
    }
}
