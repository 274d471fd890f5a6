//! How far long work is, on the terminal of the stock binaries; nothing when standard error is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line moves when nothing else does.
const TICK: Duration = Duration::from_millis(200);

/// A line that says how many bytes are done: of `total` when that is known, and when it will be over. It goes when it
/// is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins, with what is being done in a word or two.
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
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// So many more are done.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
