//! `tripline decisions`: what was decided, and what waits for people.

use super::client::{
    Client, ClientError, Connection, OrderArguments, block_on, confirmed, escaped,
};
use super::exit::Exit;
use super::render::{held_by, name, text};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Actions on decisions.
#[derive(Debug, Subcommand)]
pub enum Decisions {
    /// List the newest decisions.
    List {
        /// The most rows.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only decisions on this credential, `kind:id` or the id of an API key.
        #[arg(long)]
        credential: Option<String>,
        /// Only revocations that are pending approval.
        #[arg(long)]
        waiting: bool,
    },
    /// Show one decision, however old.
    Show {
        /// Its id, which begins with `d_`.
        id: String,
    },
    /// Approve a pending revocation.
    Approve(VoteArgs),
    /// Reject a pending revocation; the suspension in the meantime expires.
    Reject(VoteArgs),
}

/// The inputs of a vote.
#[derive(Debug, Args)]
pub struct VoteArgs {
    /// The decision's id, which begins with `d_`.
    pub id: String,
    /// Why, and who.
    #[command(flatten)]
    pub because: OrderArguments,
}

/// Runs `tripline decisions …`.
pub fn run(connection: &Connection, command: Decisions) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Decisions::List { waiting: true, .. } => {
                client.write(&client.get("/v1/approvals").await?, waiting_table);
            }
            Decisions::List { limit, credential, .. } => {
                let of =
                    credential.map_or(String::new(), |id| format!("&credential={}", escaped(&id)));
                let found = client.get(&format!("/v1/decisions?limit={limit}{of}")).await?;
                client.write(&found, decisions_table);
            }
            Decisions::Show { id } => {
                let found = client.get(&format!("/v1/decisions/{}", escaped(&id))).await?;
                client.write(&found, decision_text);
            }
            Decisions::Approve(vote) => say_yes_or_no(&client, "approve", vote).await?,
            Decisions::Reject(vote) => say_yes_or_no(&client, "reject", vote).await?,
        }
        Ok(())
    })
}

async fn say_yes_or_no(client: &Client, verb: &str, vote: VoteArgs) -> Result<(), ClientError> {
    if verb == "approve" && !vote.because.yes && !confirmed("approve the revocation of", &vote.id) {
        return Err(ClientError::Declined);
    }
    let path = format!("/v1/decisions/{}/{verb}", escaped(&vote.id));
    let done = client.post(&path, &vote.because.json(), "changed").await?;
    client.write(&done, |done| match done.get("decision").filter(|one| !one.is_null()) {
        Some(decision) => {
            format!("{}: revoked as {}", name(decision), text(decision, "id"))
        }
        None if verb == "approve" => {
            format!("{}: recorded; another operator has to approve, too", vote.id)
        }
        None => format!("{}: rejected; the suspension expires", vote.id),
    });
    Ok(())
}

/// How far the stores are: all of them, or which of them is not.
fn carried(decision: &Value) -> String {
    let stores = decision.get("stores").and_then(Value::as_object);
    let differ = stores.into_iter().flatten().filter_map(|(store, answer)| {
        let answer = answer.as_str()?;
        (!matches!(answer, "applied" | "already")).then(|| format!("{store} {answer}"))
    });
    let differ: Vec<String> = differ.collect();
    if differ.is_empty() { "done".to_owned() } else { format!("ordered; {}", differ.join(", ")) }
}

fn row(decision: &Value) -> String {
    let carried_out = decision.get("carried_out") == Some(&Value::Bool(true));
    let held = held_by(decision).join(",");
    let is_alert = text(decision, "action") == "alert" && !held.contains("mode");
    let state = match (carried_out, held.is_empty()) {
        (true, true) => carried(decision),
        (true, false) => format!("{}, held by {held}", carried(decision)),
        // No store gets an alert: people do.
        (false, true) if is_alert => "alerted".to_owned(),
        (false, false) if is_alert => format!("alerted; a more severe action was held by {held}"),
        (false, true) => "not carried out".to_owned(),
        (false, false) => format!("not carried out, held by {held}"),
    };
    format!(
        "{} {} {:<8} {} [{state}] by {}: {}",
        text(decision, "at"),
        text(decision, "id"),
        text(decision, "action"),
        name(decision),
        text(decision, "by"),
        text(decision, "reason"),
    )
}

fn decisions_table(found: &Value) -> String {
    let rows: Vec<String> = found.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() { "no decisions".to_owned() } else { rows.join("\n") }
}

fn waiting_table(found: &Value) -> String {
    let rows: Vec<String> = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let decision = one.get("decision").unwrap_or(&Value::Null);
            let agreed = one.get("agreed").and_then(Value::as_array);
            let agreed: Vec<&str> =
                agreed.into_iter().flatten().filter_map(Value::as_str).collect();
            let agreed =
                if agreed.is_empty() { "no one yet".to_owned() } else { agreed.join(", ") };
            format!("{}\n  until {}, approved by: {agreed}", row(decision), text(one, "until"))
        })
        .collect();
    if rows.is_empty() { "nothing waits".to_owned() } else { rows.join("\n") }
}

fn decision_text(decision: &Value) -> String {
    let mut out = format!("{}\n", row(decision));
    for field in ["wanted", "mode", "generation", "finding", "until", "expires", "tenant"] {
        if let Some(value) = decision.get(field).filter(|value| !value.is_null()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!("  {field:<12} {value}\n"));
        }
    }
    for (store, answer) in decision.get("stores").and_then(Value::as_object).into_iter().flatten() {
        out.push_str(&format!(
            "  {:<12} {}\n",
            format!("at {store}"),
            answer.as_str().unwrap_or("?")
        ));
    }
    if let Some(evidence) = decision.get("evidence").and_then(Value::as_object) {
        for (measure, value) in evidence {
            out.push_str(&format!("  {measure:<24} {value}\n"));
        }
    }
    out
}
