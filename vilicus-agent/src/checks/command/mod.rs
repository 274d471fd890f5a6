//! The `command` kind: runs a monitoring plugin and reads what it says.
//!
//! Runs nothing unless the agent's own file allows it ([`policy`]): a server in wrong hands can't run programs
//! here. No shell, no inherited environment; at the timeout its whole process group is ended.

mod allow;
mod capture;
mod child;
mod environment;
pub mod policy;
mod safety;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use vilicus_core::kind::MetricDescription;
use vilicus_core::plugin::PluginOutput;
use vilicus_core::result::CUT_MARK;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, ParamsError, async_trait};

use super::blocking::Places;
use child::{Ending, Finished, Program, Started};
use policy::CommandPolicy;

/// What a `command` check runs.
#[derive(Deserialize, JsonSchema)]
pub struct CommandParams {
    /// The program's absolute path; the agent's own file must allow it.
    command: String,
    /// Its arguments, as they are; no shell looks at them.
    #[serde(default)]
    args: Vec<String>,
    /// Variables of its environment; the agent's own file must allow each name.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    env: BTreeMap<String, String>,
    /// What it reads from standard input; without it that is empty.
    stdin: Option<String>,
    /// The folder it runs in, an absolute path; without it `/`.
    dir: Option<String>,
}

impl fmt::Debug for CommandParams {
    /// Arguments and environment may hold passwords, so only the program is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandParams").field("command", &self.command).finish_non_exhaustive()
    }
}

/// The `command` kind.
#[derive(Debug, Clone)]
pub struct CommandKind {
    policy: Arc<CommandPolicy>,
    places: Places,
}

impl CommandKind {
    /// The kind whose checks may do what the policy allows.
    #[must_use]
    pub fn new(policy: CommandPolicy) -> Self {
        Self { policy: Arc::new(policy), places: Places::default() }
    }
}

impl CheckKind for CommandKind {
    type Params = CommandParams;

    fn name(&self) -> &'static str {
        "command"
    }

    fn description(&self) -> &'static str {
        "runs a monitoring plugin: exit code, text and perfdata"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        &[]
    }

    fn build(&self, params: CommandParams) -> Result<Arc<dyn Check>, ParamsError> {
        validate(&params)?;
        Ok(Arc::new(Command { params, policy: Arc::clone(&self.policy), places: self.places.clone() }))
    }
}

/// What can be refused wherever the check is configured; what this host allows is asked when it runs.
fn validate(params: &CommandParams) -> Result<(), ParamsError> {
    if !allow::is_plain_absolute(&params.command) {
        return Err(ParamsError::new("command", "must be an absolute path without . or .., as /opt/check_x"));
    }
    if params.args.iter().any(|arg| arg.contains('\0')) {
        return Err(ParamsError::new("args", "no argument of a program can hold the character NUL"));
    }
    if params.dir.as_deref().is_some_and(|dir| !dir.starts_with('/') || dir.contains('\0')) {
        return Err(ParamsError::new("dir", "must be an absolute path, as /var/tmp"));
    }
    for (name, value) in &params.env {
        environment::check_name(name)
            .map_err(|reason| ParamsError::new("env", format!("env {name}: {reason}")))?;
        if value.contains('\0') {
            return Err(ParamsError::new("env", format!("env {name}: no value can hold the character NUL")));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Command {
    params: CommandParams,
    policy: Arc<CommandPolicy>,
    places: Places,
}

#[async_trait]
impl Check for Command {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        let begin = Instant::now();
        let program = self.program();
        let started = match self.start(&program, cx).await {
            Ok(started) => started,
            Err(refusal) => return refusal,
        };
        let time_left = Duration::from(cx.timeout).saturating_sub(begin.elapsed());
        report(&started.run(program.stdin, time_left).await, cx)
    }
}

impl Command {
    /// Starts the program, if this host lets the check run. Looks at files, which may hang, and waits for the kernel to
    /// load one: on a thread that may block, so that other checks go on.
    async fn start(&self, program: &Program<'_>, cx: &CheckContext) -> Result<Started, CheckResult> {
        if let Some(name) = self.params.env.keys().find(|name| !self.policy.may_set(name)) {
            let refusal = format!("not allowed by the agent's [command] env list: {name}");
            return Err(CheckResult::unknown(refusal));
        }
        let (policy, path) = (Arc::clone(&self.policy), self.params.command.clone());
        let mut command = child::command(program);
        let start = move || -> Result<_, String> {
            policy.permits(&path)?;
            safety::inspect(&path)?;
            Ok(Started::start(&mut command))
        };
        let answer = self.places.call(&self.params.command, cx.timeout.into(), start).await;
        let late = |_| format!("{} did not answer within {}", self.params.command, cx.timeout);
        let allowed = answer.map_err(|error| CheckResult::critical(late(error)))?;
        let not_executable =
            |error| PluginOutput::parse("").into_result(&child::not_executable(program, &error));
        allowed.map_err(CheckResult::unknown)?.map_err(not_executable)
    }

    fn program(&self) -> Program<'_> {
        let account = self.policy.account();
        let home = account.map_or_else(environment::own_home, |account| account.home.clone());
        Program {
            path: &self.params.command,
            args: &self.params.args,
            env: environment::of_child(&home, &self.params.env),
            dir: self.params.dir.as_deref().unwrap_or("/"),
            stdin: self.params.stdin.as_deref().unwrap_or_default(),
            ids: account.map(|account| (account.uid, account.gid)),
        }
    }
}

fn report(finished: &Finished, cx: &CheckContext) -> CheckResult {
    let (stdout, stderr) = (finished.stdout.to_text(), finished.stderr.to_text());
    let (said, errors) = (stdout.trim(), stderr.trim());
    let mut result = match &finished.ending {
        Ending::Exited(exit) => PluginOutput::parse(&stdout).into_result(exit),
        Ending::TimedOut => CheckResult::critical(format!("timed out after {}", cx.timeout)),
    };
    let mut lines = vec![std::mem::take(&mut result.long_output)];
    if finished.ending == Ending::TimedOut && !said.is_empty() {
        lines.push(format!("so far: {said}"));
    }
    if said.is_empty() && !errors.is_empty() {
        lines.push(format!("standard error: {errors}"));
    }
    result.truncated = finished.stdout.is_cut();
    lines.extend(result.truncated.then(|| CUT_MARK.to_owned()));
    lines.extend(finished.remarks.iter().map(|remark| (*remark).to_owned()));
    lines.retain(|line| !line.is_empty());
    result.long_output(lines.join("\n"))
}

#[cfg(test)]
mod tests;
