//! Ours: durable before the answer, judged, told.

use std::time::Duration;

use vilicus_benches::Failure;
use vilicus_benches::alarm::Setup;
use vilicus_benches::body::{Look, Text};
use vilicus_benches::drive::{Plan, Until, drive};
use vilicus_benches::fleet::{Fleet, Wanted};
use vilicus_benches::process::memory;
use vilicus_benches::reporter::{Form, reporters};
use vilicus_benches::server::{TOKENS, Vilicus};
use vilicus_benches::usage::watched;

use crate::table::{Figures, Work};
use crate::{CHECKS, CONNECTIONS, STORM, Setting};

const NAME: &str = "vilicus";

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    alerts(setting, figures)?;
    let vilicus = Vilicus::start(&setting.binary, &setting.under)?;
    let wanted = Wanted::new(setting.agents, CHECKS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fleet = runtime.block_on(wanted.enrol(vilicus.server(), TOKENS.enroll))?;
    begin(setting, &vilicus, &fleet)?;
    let batches = load(setting, &vilicus, &fleet, Form::Batch(CHECKS))?;
    figures.put(NAME, Work::Batches, batches.per_second);
    figures.put(NAME, Work::BatchCpu, batches.cpu_s_per_million);
    figures.put(NAME, Work::BatchBytes, batches.bytes_per_result);
    figures.put(NAME, Work::BatchP99, batches.p99_ms);
    let singles = load(setting, &vilicus, &fleet, Form::Single)?;
    figures.put(NAME, Work::Singles, singles.per_second);
    figures.put(NAME, Work::SingleCpu, singles.cpu_s_per_million);
    let (vilicus, took) = vilicus.again(&setting.binary)?;
    figures.put(NAME, Work::Start, took.as_secs_f64());
    figures.put(NAME, Work::StartMemory, memory(vilicus.pid())?.pss as f64 / f64::from(1 << 20));
    Ok(())
}

/// The first result of a check is an event, and dearer than all later ones: those are not what is measured, however long
/// this machine takes for them.
fn begin(setting: &Setting, vilicus: &Vilicus, fleet: &Fleet) -> Result<(), Failure> {
    let look = Look { text: Text::Constant, failing: 0.0 };
    let lanes = reporters(vilicus.server(), fleet, CONNECTIONS, Form::Batch(CHECKS), look, None)?;
    let requests = 2 * setting.agents as u64;
    let plan = Plan { warm_up: Duration::ZERO, until: Until::Requests(requests), ..setting.plan };
    drive(vilicus.server(), lanes, plan, || Ok(()))?.untroubled()
}

fn load(
    setting: &Setting,
    vilicus: &Vilicus,
    fleet: &Fleet,
    form: Form,
) -> Result<vilicus_benches::usage::Cost, Failure> {
    let look = Look { text: Text::Constant, failing: 0.0 };
    let lanes = reporters(vilicus.server(), fleet, CONNECTIONS, form, look, None)?;
    watched(vilicus.pid(), |mark| drive(vilicus.server(), lanes, setting.plan, mark))
}

/// On a server that has nothing else to do, as the peer has not.
fn alerts(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let vilicus = Vilicus::start(&setting.binary, &setting.under)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut setup = Setup::new(vilicus.server(), TOKENS, STORM).await?;
        let latency = setup.one_by_one(setting.alerts).await?;
        figures.put(NAME, Work::AlertP50, latency.p50_ms);
        figures.put(NAME, Work::AlertP99, latency.p99_ms);
        let each = setup.storm().await?;
        figures.put(NAME, Work::Storm, each.took.as_secs_f64() * 1000.0);
        let grouped = setup.grouped_storm().await?;
        figures.put(NAME, Work::GroupedStorm, grouped.took.as_secs_f64() * 1000.0);
        Ok(())
    })
}
