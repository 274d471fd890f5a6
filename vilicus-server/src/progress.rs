//! How far long work is, on the terminal of the stock binaries; nothing when standard error is none.

use std::io::Read;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line moves when nothing else does.
const TICK: Duration = Duration::from_millis(200);

/// A line that says how much is done, and, when it is known how much there is, when it will be over. It goes when it is
/// dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins, with what is being done in a word or two, and how many bytes that are, when it is known.
    #[must_use]
    pub fn bytes(what: &'static str, total: Option<u64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{msg} [{bar:30}] {percent:>3} %  {binary_bytes_per_sec}  {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{msg} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
            ),
        };
        Self::new(what, bar, template)
    }

    /// Begins, with how many there are to be done.
    #[must_use]
    pub fn steps(what: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        Self::new(what, bar, "{msg} [{bar:30}] {pos} of {len}  {eta} left")
    }

    fn new(what: &'static str, bar: ProgressBar, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// The same bytes, which count as they are read.
    pub fn reading<R: Read>(&self, from: R) -> impl Read + use<R> {
        self.0.wrap_read(from)
    }

    /// So many more are done.
    pub fn add(&self, more: u64) {
        self.0.inc(more);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
