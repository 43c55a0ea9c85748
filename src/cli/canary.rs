//! `tripline canary`: credentials that no one has a reason to use.

use super::client::{Client, Connection, block_on, escaped};
use super::exit::Exit;
use super::render::text;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::Read;

/// Actions on canaries.
#[derive(Debug, Subcommand)]
pub enum Canary {
    /// Watch for a credential: any presentation of it, accepted or not, alerts at once.
    Add {
        /// `kind:id`, the id of an API key, or `-`: read the secret from standard input, of which a
        /// fingerprint is kept alone.
        id: String,
        /// Where it was put: "in the wiki's page about deployments".
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the canaries.
    List,
    /// Watch for a canary no more.
    Remove {
        /// `kind:id`, or the id of an API key.
        id: String,
    },
}

/// The longest secret that is read from standard input. Unit: bytes.
const SECRET_BYTES_MAX: u64 = 4096;

/// Runs `tripline canary …`.
pub fn run(connection: &Connection, command: Canary) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Canary::Add { id, note } => {
                let body = json!({ "credential": named(id), "note": note });
                let added = client.post("/v1/canaries", &body, "since").await?;
                client.write(&added, |added| {
                    format!("watching for {}:{}\n", text(added, "kind"), text(added, "credential"))
                });
            }
            Canary::List => client.write(&client.get("/v1/canaries").await?, table),
            Canary::Remove { id } => {
                let done = client.delete(&format!("/v1/canaries/{}", escaped(&id))).await?;
                client.write(&done, |done| {
                    let was_one = done.get("changed").and_then(Value::as_bool) == Some(true);
                    let outcome = if was_one { "no longer watched for" } else { "was no canary" };
                    format!("{id}: {outcome}\n")
                });
            }
        }
        Ok(())
    })
}

/// The credential that is named, or the first line of standard input: a secret has no place on a command
/// line.
fn named(id: String) -> String {
    if id != "-" {
        return id;
    }
    let mut secret = String::new();
    // An unreadable input is an empty name, which is refused.
    let _read = std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut secret);
    secret.lines().next().unwrap_or_default().trim().to_owned()
}

fn table(found: &Value) -> String {
    let canaries = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if canaries.is_empty() {
        return "no canaries: add one with `tripline canary add`\n".to_owned();
    }
    let row = |one: &Value| {
        let credential = format!("{}:{}", text(one, "kind"), text(one, "credential"));
        format!("{credential:<44} {} {}\n", text(one, "since"), text(one, "note"))
    };
    canaries.iter().map(row).collect()
}
