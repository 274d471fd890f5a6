//! `top`: what is wrong, on the whole screen and always fresh, until a key is pressed.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};

use crate::client::Client;
use crate::exit::Failure;
use crate::status;

/// Puts the terminal back as it was, however this ends.
struct Screen;

impl Screen {
    fn open() -> Result<Self, Failure> {
        enable_raw_mode().map_err(|error| Failure::because("cannot take the terminal", &error))?;
        let screen = Self;
        execute!(std::io::stdout(), EnterAlternateScreen, Hide)
            .map_err(|error| Failure::because("cannot draw on the terminal", &error))?;
        Ok(screen)
    }

    fn draw(text: &str) -> std::io::Result<()> {
        // Some terminals do not know how large they are.
        let (width, height) = match size()? {
            (0, _) | (_, 0) => (80, 24),
            known => known,
        };
        let mut out = std::io::stdout();
        queue!(out, MoveTo(0, 0))?;
        for line in text.lines().take(usize::from(height)) {
            let line: String = line.chars().take(usize::from(width)).collect();
            write!(out, "{line}")?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
            write!(out, "\r\n")?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that is gone.
        let _ = execute!(std::io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Draws again every so often, until a key is pressed.
pub(crate) async fn run(client: &Client, every: Duration) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new("top needs a terminal; 'vilicusctl status' prints once"));
    }
    // What is wrong with the server shows before the screen is taken.
    let mut seen = status::seen(client).await?.text;
    let mut stale = String::new();
    let _screen = Screen::open()?;
    loop {
        let text = format!("{stale}{seen}\nany key ends it; drawn again every {} s", every.as_secs());
        Screen::draw(&text).map_err(|error| Failure::because("cannot draw on the terminal", &error))?;
        let pressed = tokio::task::spawn_blocking(move || pressed(every)).await;
        if pressed
            .unwrap_or(Ok(true))
            .map_err(|error| Failure::because("cannot read the terminal", &error))?
        {
            return Ok(());
        }
        match status::seen(client).await {
            Ok(fresh) => (seen, stale) = (fresh.text, String::new()),
            // It may come back: what was seen last stays, with a word about that.
            Err(failure) => stale = format!("STALE: {}\n", failure.text()),
        }
    }
}

/// Whether a key is pressed within this time.
fn pressed(within: Duration) -> std::io::Result<bool> {
    if !event::poll(within)? {
        return Ok(false);
    }
    // A window that changes its size is drawn again at once.
    Ok(matches!(event::read()?, Event::Key(key) if key.kind == KeyEventKind::Press))
}
