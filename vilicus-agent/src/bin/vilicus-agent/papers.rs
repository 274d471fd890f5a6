//! Completions for shells and the man page, made from the arguments themselves.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Failure;
use crate::args::Args;
use crate::terminal::say;

pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "vilicus-agent", &mut text);
    say(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man() -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Args::command()).render(&mut text)?;
    say(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}
