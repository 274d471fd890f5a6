//! The server as its users see it: the real binary, and the pages of a server in this process.

mod binary;
mod browser;
mod commands;
mod pages;
mod process;
