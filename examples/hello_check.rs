//! How small can a check be? Three lines, and the program answers `/healthz`.
//!
//! `cargo run -p vilicus-examples --example hello_check`, then `curl -i http://127.0.0.1:9090/healthz`.
//! Another address can be given as the first argument.

use vilicus_agent::Agent;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9090".to_owned()).parse()?;

    let scratch = || async { std::env::temp_dir().is_dir() };
    let agent = Agent::builder().check_fn("scratch", scratch).healthz(address).build()?;
    agent.run(std::future::pending()).await?;

    Ok(())
}
