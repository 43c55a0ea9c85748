//! `tripline findings`: looks at findings, and follows them.

use super::client::{Client, ClientError, Connection, Output, block_on, escaped};
use super::exit::Exit;
use super::output::{print_err, print_out};
use super::render::{finding_text, name, text};
use clap::Subcommand;
use futures_util::StreamExt;
use serde_json::Value;

/// Actions on findings.
#[derive(Debug, Subcommand)]
pub enum Findings {
    /// List the newest findings.
    List {
        /// The most rows.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only open findings.
        #[arg(long)]
        open: bool,
    },
    /// Show one finding.
    Show {
        /// Its id, which begins with `f_`.
        id: String,
    },
    /// Follow findings and decisions live.
    Tail,
}

/// Runs `tripline findings …`.
pub fn run(connection: &Connection, command: Findings) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Findings::List { limit, open } => {
                let found = client.get(&format!("/v1/findings?limit={limit}&open={open}")).await?;
                client.write(&found, findings_table);
            }
            Findings::Show { id } => {
                let found = client.get(&format!("/v1/findings/{}", escaped(&id))).await?;
                client.write(&found, finding_text);
            }
            Findings::Tail => tail(&client).await?,
        }
        Ok(())
    })
}

async fn tail(client: &Client) -> Result<(), ClientError> {
    let response = client.stream("/v1/stream").await?;
    let mut chunks = response.bytes_stream();
    let mut held = Vec::new();
    while let Some(chunk) = chunks.next().await {
        held.extend_from_slice(&chunk.map_err(ClientError::Answer)?);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let Some(data) = line.strip_prefix("data:") else { continue };
            if data.trim() == "{}" {
                print_err("some were missed: `tripline findings list` has them");
                continue;
            }
            let value: Value = serde_json::from_str(data.trim()).unwrap_or_default();
            match client.output() {
                Output::Json => print_out(data),
                Output::Table => print_out(&one_line(&value)),
            }
        }
    }
    Ok(())
}

fn one_line(value: &Value) -> String {
    let what = if value.get("detector").is_some() { "finding" } else { "decision" };
    let words = if what == "finding" { text(value, "summary") } else { text(value, "reason") };
    let at = if what == "finding" { text(value, "updated") } else { text(value, "at") };
    format!("{at} {what} {} {} {} {words}", text(value, "id"), text(value, "action"), name(value))
}

fn findings_table(found: &Value) -> String {
    let mut out = String::new();
    for one in found.as_array().into_iter().flatten() {
        let state = if one.get("closed").is_none_or(Value::is_null) { "open" } else { "closed" };
        out.push_str(&format!(
            "{} {} {:<8} {:<8} {:<6} {} {}\n",
            text(one, "opened"),
            text(one, "id"),
            text(one, "detector"),
            text(one, "action"),
            state,
            name(one),
            text(one, "summary"),
        ));
    }
    if out.is_empty() { "no findings\n".to_owned() } else { out }
}
