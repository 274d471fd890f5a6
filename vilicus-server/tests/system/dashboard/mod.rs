//! The dashboard as people use it, in a real browser.

mod browser;
mod every_page;
mod first_minutes;
mod install_script;
mod same_by_every_way;
