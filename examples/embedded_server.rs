//! A server inside an app.
fn main() {}
