//! The server's binary: reads what it is told, builds, runs, and turns errors into exit codes. Everything else is
//! in the library.

mod access;
mod args;
mod backup;
mod check_config;
mod exit;
mod files;
mod log;
mod login_link;
mod relocate;
mod serve;
mod store;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Args, Command, StoreCommand, TokenCommand};
use self::exit::Failure;

/// What one thread reads, another keeps and frees: an allocator that is made for that saves a third of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("cannot start the runtime", &error))
        .and_then(|runtime| runtime.block_on(run(args.command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run_store(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Info { data } => store::info(&data).await,
        StoreCommand::Verify { data } => store::verify(&data).await,
        StoreCommand::Backup { data, file } => backup::make(&data, &file).await,
        StoreCommand::Restore { data, file } => backup::restore(&data, &file).await,
        StoreCommand::Compact { data } => relocate::compact(&data).await,
        StoreCommand::Migrate { from, to } => relocate::migrate(&from, &to).await,
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(*args).await,
        Command::CheckConfig { files, tests } => check_config::run(&files, &tests).await,
        Command::Token { command: TokenCommand::Create(args) } => token::create(args).await,
        Command::LoginLink { data } => login_link::run(&data).await,
        Command::Store { command } => run_store(command).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "vilicus-server", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => clap_mangen::Man::new(Args::command())
            .render(&mut std::io::stdout())
            .map_err(|error| Failure::because("cannot write the man page", &error)),
    }
}
