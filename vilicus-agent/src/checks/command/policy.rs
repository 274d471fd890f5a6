//! What `command` checks may do on this host: the agent's own `[command]` table.

use super::allow::AllowList;
use super::environment;
use crate::checks::accounts::Account;

/// Which programs may run, as whom, and which variables checks may set. By default no program may run.
#[derive(Debug, Clone, Default)]
pub struct CommandPolicy {
    allow: AllowList,
    account: Option<Account>,
    env: Vec<String>,
}

/// A `[command]` table that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandPolicyError {
    /// An entry of `allow` is not an absolute path or pattern.
    #[error("allow: '{0}' is not an absolute path without . or .. (as /opt/check_x, or /opt/plugins/*)")]
    Allow(String),
    /// The user does not exist.
    #[error("user: no user '{0}' in /etc/passwd")]
    UnknownUser(String),
    /// The list of users cannot be read.
    #[error("user: cannot read /etc/passwd")]
    Accounts(#[source] std::io::Error),
    /// A variable that no check may ever set.
    #[error("env: {name}: {reason}")]
    Env {
        /// The name of the variable.
        name: String,
        /// Why not.
        reason: &'static str,
    },
}

impl CommandPolicy {
    /// The policy of these `allow`, `user` and `env` entries.
    ///
    /// An entry of `allow` is a path, or a pattern in which `*` and `?` match within one part of the path and `**`
    /// across parts. A pattern never allows a program that runs other programs. Without `user`, programs run as
    /// the agent's own user.
    ///
    /// # Errors
    /// An entry that is no absolute path, a user that does not exist, or a variable that could change which code
    /// a program runs.
    pub fn new(allow: &[String], user: Option<&str>, env: &[String]) -> Result<Self, CommandPolicyError> {
        for name in env {
            environment::check_name(name)
                .map_err(|reason| CommandPolicyError::Env { name: name.clone(), reason })?;
        }
        let account = user.map(account).transpose()?;
        Ok(Self {
            allow: AllowList::new(allow).map_err(CommandPolicyError::Allow)?,
            account,
            env: env.to_vec(),
        })
    }

    /// Whether a program may run; the refusal is the text of the result.
    pub(super) fn permits(&self, command: &str) -> Result<(), String> {
        if self.allow.permits(command) {
            return Ok(());
        }
        let mend = if self.allow.permits_by_path_only(command) {
            " (it runs other programs: no pattern allows it, list its path)"
        } else {
            ""
        };
        Err(format!("not allowed by the agent's [command] allow list: {command}{mend}"))
    }

    /// Whether a check may set this variable.
    pub(super) fn may_set(&self, name: &str) -> bool {
        self.env.iter().any(|allowed| allowed == name)
    }

    /// As whom programs run, when not as the agent.
    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }
}

fn account(user: &str) -> Result<Account, CommandPolicyError> {
    let found = Account::named(user).map_err(CommandPolicyError::Accounts)?;
    found.ok_or_else(|| CommandPolicyError::UnknownUser(user.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_work_is_refused() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        for (allow, user, env, words) in [
            (list(&["check_x"]), None, list(&[]), "absolute"),
            (list(&["/opt/../bin/*"]), None, list(&[]), "absolute"),
            (list(&[]), Some("no-such-user"), list(&[]), "no user"),
            (list(&[]), None, list(&["PATH"]), "PATH"),
            (list(&[]), None, list(&["a=b"]), "a=b"),
        ] {
            let error = CommandPolicy::new(&allow, user, &env).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let policy = CommandPolicy::new(&list(&["/opt/*"]), Some("daemon"), &list(&["COMMUNITY"])).unwrap();
        assert_eq!(policy.account().unwrap().name, "daemon");
        assert!(policy.may_set("COMMUNITY") && !policy.may_set("OTHER"));
    }
}
