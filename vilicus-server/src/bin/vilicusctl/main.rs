//! The command line of operators: every verb is one file, speaks the REST API, and prints for people or for scripts.

mod act;
mod apply;
mod args;
mod backup;
mod client;
mod describe;
mod downtime;
mod events;
mod exit;
mod get;
mod history;
mod import;
mod login;
mod names;
mod plot;
mod print;
mod replay;
mod status;
mod test;
mod token;
mod top;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Args, Command, ImportCommand};
use self::client::Client;
use self::exit::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let is_plugin = matches!(args.command, Command::Status);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("cannot start the runtime", &error))
        .and_then(|runtime| runtime.block_on(run(args)));
    match outcome {
        Ok(code) => code,
        // What cannot be asked is UNKNOWN, as plugins say it.
        Err(failure) if is_plugin => failure.report_as(3),
        Err(failure) => failure.report(),
    }
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    let server = args.server;
    let connect = || Client::new(&server);
    match args.command {
        Command::Login => login::run(&server).await?,
        Command::Status => return status::run(&connect()?).await,
        Command::Get(asked) => get::run(&connect()?, &asked).await?,
        Command::Describe(asked) => describe::run(&connect()?, &asked).await?,
        Command::Apply(asked) => apply::run(&connect()?, &asked, asked.dry_run).await?,
        Command::Diff(asked) => apply::run(&connect()?, &asked, true).await?,
        Command::Ack(asked) => act::acknowledge(&connect()?, &asked).await?,
        Command::Approve { agent } => token::approve(&connect()?, &agent).await?,
        Command::Run { check } => act::run_now(&connect()?, &check).await?,
        Command::TestChannel { channel } => act::test_channel(&connect()?, &channel).await?,
        Command::Explain { check } => act::explain(&connect()?, &check).await?,
        Command::Downtime { command } => return downtime::run(&connect()?, command).await,
        Command::Events(asked) => events::run(&connect()?, &asked).await?,
        Command::History(asked) => history::run(&connect()?, &asked).await?,
        Command::Availability(asked) => history::availability(&connect()?, &asked).await?,
        Command::Replay(asked) => replay::run(&connect()?, &asked).await?,
        Command::Token { command } => token::run(&connect()?, command).await?,
        Command::Test { tests, file } => test::run(&tests, &file).await?,
        Command::Backup { file } => backup::make(&connect()?, file).await?,
        Command::Restore { file, to } => backup::restore(&file, &to)?,
        Command::Top { every } => top::run(&connect()?, std::time::Duration::from_secs(every)).await?,
        Command::Import { from: ImportCommand::Nagios { directories, smtp, sender } } => {
            import::nagios(&directories, &smtp, &sender)?;
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "vilicusctl", &mut std::io::stdout());
        }
        Command::Man => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Args::command()).render(&mut page);
            rendered.map_err(|error| Failure::because("cannot make the man page", &error))?;
            print::write(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
