//! The figures of a run, for people or programs.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use serde::Serialize;
use vilicus_benches::Failure;
use vilicus_benches::drive::Measured;
use vilicus_benches::latency::Summary;
use vilicus_benches::usage::Usage;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seconds: f64,
    results: u64,
    results_per_second: f64,
    requests_per_second: f64,
    latency: Summary,
    refused: u64,
    broken: u64,
    trouble: Option<String>,
    server_cpu_s_per_million: Option<f64>,
    own_cpu_s_per_million: f64,
    disk_bytes_per_result: f64,
    usage: Usage,
}

impl Report {
    pub(crate) fn new(measured: &Measured, usage: Usage) -> Self {
        let (seconds, results) = (measured.took.as_secs_f64(), measured.results);
        let latency = measured.latencies.summary();
        let per_million = |spent: f64| spent * 1e6 / results.max(1) as f64;
        Self {
            seconds,
            results,
            results_per_second: measured.per_second(),
            requests_per_second: latency.count as f64 / seconds,
            latency,
            refused: measured.refused,
            broken: measured.broken,
            trouble: measured.trouble.clone(),
            server_cpu_s_per_million: usage.server_cpu_s.map(per_million),
            own_cpu_s_per_million: per_million(usage.own_cpu_s),
            disk_bytes_per_result: usage.disk_bytes as f64 / results.max(1) as f64,
            usage,
        }
    }

    pub(crate) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        let Self { seconds, results, results_per_second, requests_per_second, .. } = self;
        println!(
            "{results} results in {seconds:.1} s: {results_per_second:.0}/s, {requests_per_second:.0} requests/s"
        );
        println!("answers    {}", self.latency);
        if let Some(cpu) = self.server_cpu_s_per_million {
            println!("server     {cpu:.3} CPU s for 1M results");
        }
        if let Some(memory) = self.usage.memory {
            println!("memory     {} MiB RSS, {} MiB PSS", memory.rss >> 20, memory.pss >> 20);
        }
        println!("disk       {:.1} bytes written a result, by the whole machine", self.disk_bytes_per_result);
        println!("generator  {:.3} CPU s for 1M results", self.own_cpu_s_per_million);
        if self.refused + self.broken > 0 {
            println!("trouble    {} refused, {} connections broken", self.refused, self.broken);
        }
        self.trouble.iter().for_each(|trouble| println!("           first: {trouble}"));
        Ok(())
    }
}
