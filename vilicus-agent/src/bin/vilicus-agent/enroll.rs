//! `vilicus-agent enroll`: gets this host's token, and writes the two files.

use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use vilicus_agent::config::{Config, DEFAULT_PATH, read_token};
use vilicus_agent::enroll::{Application, Enrolment, Overwrite, enroll};
use vilicus_agent::printable::escaped;
use vilicus_agent::transport::HttpCarrier;

use crate::Failure;
use crate::args::{EnrollOptions, ServerOptions, Shared};
use crate::settings;
use crate::terminal::say;

pub(crate) fn run(shared: &Shared, options: EnrollOptions) -> Result<ExitCode, Failure> {
    let path = shared.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let config = if path.exists() { Config::read(path)? } else { Config::default() };
    let server_options = ServerOptions { server: options.server.clone(), ..ServerOptions::default() };
    let server = settings::server(&server_options, &config)?;
    let enroll_token = enroll_token(&options)?;
    let carrier = HttpCarrier::new(&server, settings::http_options(options.ca_file.as_ref(), &config))?;
    let mut application = Application::of_this_host().tags(options.tags);
    if let Some(name) = options.name {
        application = application.name(name);
    }
    let overwrite = if options.force { Overwrite::Yes } else { Overwrite::No };
    let mut place = Enrolment::prepare(path, &server, overwrite)?;
    if let Some(ca_file) = &options.ca_file {
        place = place.ca_file(ca_file);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let enrolled = runtime.block_on(enroll(&carrier, &enroll_token, &application))?;
    let (config_path, token_path) = place.complete(&enrolled.token)?;
    say(&format!(
        "enrolled as {}; wrote {} and {}\nstart it with: vilicus-agent run --config {}\n",
        escaped(&enrolled.name),
        config_path.display(),
        token_path.display(),
        config_path.display(),
    ));
    if enrolled.needs_approval {
        say("it works when an admin has let it in: on its page, or by vilicusctl approve\n");
    }
    Ok(ExitCode::SUCCESS)
}

fn enroll_token(options: &EnrollOptions) -> Result<SecretString, Failure> {
    let given = options.enroll_token.as_deref().map(str::trim).filter(|token| !token.is_empty());
    match (given, &options.enroll_token_file) {
        (Some(token), _) => Ok(token.into()),
        (None, Some(path)) => Ok(read_token(path)?),
        (None, None) => Err(Failure::Usage(
            "no enrolment token is given: use --enroll-token, VILICUS_ENROLL_TOKEN or --enroll-token-file"
                .to_owned(),
        )),
    }
}
