//! Reports results from many agents, and measures.

use std::sync::Arc;
use std::time::Duration;

use vilicus_benches::body::{Look, Text};
use vilicus_benches::connection::Server;
use vilicus_benches::drive::{Plan, Until, drive};
use vilicus_benches::fleet::{Fleet, Wanted};
use vilicus_benches::ledger::Ledger;
use vilicus_benches::reporter::{Form, reporters};
use vilicus_benches::usage::Reading;
use vilicus_benches::{Failure, clock};

use crate::args::RunArgs;
use crate::report::Report;

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let server = Server::new(&args.server.url, args.server.ca_file.as_deref())?;
    let fleet = fleet(args, &server)?;
    let ledger = match &args.ledger {
        Some(path) => Some(Arc::new(Ledger::create(path, &fleet, look(args))?)),
        None => None,
    };
    let lanes = reporters(&server, &fleet, args.connections, form(args), look(args), ledger.as_ref())?;
    let mut readings = Vec::with_capacity(2);
    let measured = drive(&server, lanes, plan(args), || {
        readings.push(Reading::take(args.server_pid)?);
        Ok(())
    })?;
    ledger.map_or(Ok(()), |ledger| ledger.close())?;
    let [before, after] = readings[..] else { return Err("the run was not marked twice".into()) };
    Report::new(&measured, before.until(&after, args.server_pid)?).print(args.json)
}

/// The agents of an earlier run, or new ones.
fn fleet(args: &RunArgs, server: &Server) -> Result<Fleet, Failure> {
    if let Some(path) = args.fleet.as_ref().filter(|path| path.exists()) {
        return Fleet::read(path);
    }
    let token = args.enroll_token.as_deref().ok_or("say the enrolment token: VILICUS_ENROLL_TOKEN")?;
    if args.agents == 0 || !args.checks.is_multiple_of(args.agents) {
        return Err("the checks must be spread evenly over the agents".into());
    }
    let begin = clock::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fleet = runtime.block_on(Wanted::new(args.agents, args.checks / args.agents).enrol(server, token))?;
    eprintln!("{} checks of {} agents enrolled in {:.1?}", fleet.checks(), args.agents, begin.elapsed());
    args.fleet.as_ref().map_or(Ok(()), |path| fleet.write(path))?;
    Ok(fleet)
}

const fn look(args: &RunArgs) -> Look {
    Look { text: if args.changing { Text::Changing } else { Text::Constant }, failing: args.failing }
}

const fn form(args: &RunArgs) -> Form {
    if args.single { Form::Single } else { Form::Batch(args.batch) }
}

fn plan(args: &RunArgs) -> Plan {
    let size = if args.single { 1 } else { args.batch.max(1) };
    Plan {
        threads: args.threads,
        rate: args.rate.map(|results| results / size as f64),
        warm_up: Duration::from_secs_f64(args.warm_up),
        until: match args.count {
            Some(results) => Until::Requests(results.div_ceil(size as u64)),
            None => Until::For(Duration::from_secs_f64(args.seconds)),
        },
    }
}
