//! `tripline health`: whether the daemon is ready, for container checks.

use super::client::{Client, Connection, block_on};
use super::exit::Exit;
use super::output::print_out;

/// Runs `tripline health`.
pub fn health(connection: &Connection) -> Exit {
    let mut is_ready = false;
    let asked = block_on(async {
        let client = Client::new(connection)?;
        client.check_instance()?;
        let (status, checks) = client.ask("/readyz?verbose", &[]).await?;
        is_ready = status == 200;
        print_out(checks.trim_end());
        Ok(())
    });
    if asked == Exit::Good && !is_ready { Exit::Findings } else { asked }
}
