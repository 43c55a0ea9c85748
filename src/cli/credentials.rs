//! `tripline credentials`: looks at credentials; suspends, revokes and restores them.

use super::client::{
    Client, ClientError, Connection, OrderArguments, Output, block_on, confirmed, escaped,
};
use super::exit::Exit;
use super::render::{held_by, name, text};
use crate::formats::api::profile::CredentialJson;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

/// Actions on credentials.
#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// List the busiest credentials of the last minute, and those out of service.
    List {
        /// The most rows.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Those alone that were seen lately from the network (/24 or /48) of this address.
        #[arg(long)]
        from: Option<IpAddr>,
    },
    /// Show one credential: its windows against its baseline, and its enforcement state.
    Show {
        /// `kind:id`, or the id of an API key.
        id: String,
    },
    /// Suspend a credential: refused for a while.
    Suspend {
        /// Which, and why.
        #[command(flatten)]
        order: OrderArgs,
        /// Duration. Unit: seconds. [default: as configured]
        #[arg(long)]
        lasts_s: Option<u32>,
    },
    /// Revoke a credential: refused until it is restored.
    Revoke(OrderArgs),
    /// Restore a credential to service.
    Restore(OrderArgs),
}

/// The inputs of an order.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// `kind:id`, or the id of an API key.
    pub id: String,
    /// Why, and who.
    #[command(flatten)]
    pub because: OrderArguments,
    /// Proceed even if no recent event names the credential.
    #[arg(long)]
    pub unknown: bool,
}

/// How often, and how many times, it is looked how far the stores are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 10;

/// Runs `tripline credentials …`.
pub fn run(connection: &Connection, command: Credentials) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Credentials::List { limit, from } => {
                let from = from.map(|address| format!("&from={address}")).unwrap_or_default();
                let found = client.get(&format!("/v1/credentials?limit={limit}{from}")).await?;
                client.write(&found, credentials_table);
            }
            Credentials::Show { id } => {
                let found = client.get(&format!("/v1/credentials/{}", escaped(&id))).await?;
                client.write(&found, credential_text);
            }
            Credentials::Suspend { order, lasts_s } => {
                order_one(&client, "suspend", order, lasts_s).await?;
            }
            Credentials::Revoke(order) => order_one(&client, "revoke", order, None).await?,
            Credentials::Restore(order) => order_one(&client, "restore", order, None).await?,
        }
        Ok(())
    })
}

async fn order_one(
    client: &Client,
    verb: &str,
    order: OrderArgs,
    lasts_s: Option<u32>,
) -> Result<(), ClientError> {
    if verb != "restore" && !order.because.yes && !confirmed(verb, &order.id) {
        return Err(ClientError::Declined);
    }
    let mut body = order.because.json();
    if let (Some(fields), Some(lasts_s)) = (body.as_object_mut(), lasts_s) {
        fields.insert("lasts_s".to_owned(), lasts_s.into());
    }
    if let Some(fields) = body.as_object_mut().filter(|_| verb != "restore" && !order.unknown) {
        fields.insert("only_known".to_owned(), true.into());
    }
    let path = format!("/v1/credentials/{}/{verb}", escaped(&order.id));
    let done = client.post(&path, &body, "changed").await?;
    let stores = match client.output() {
        Output::Json => String::new(),
        Output::Table => how_far(client, &done).await,
    };
    client.write(&done, |done| format!("{}{stores}", outcome(verb, &order.id, done)));
    Ok(())
}

/// How far each store is with what was ordered: at once, or after a second at most.
async fn how_far(client: &Client, done: &Value) -> String {
    let Some(id) = done.pointer("/decision/id").and_then(Value::as_str) else {
        return String::new();
    };
    for round in 0..LOOKS {
        // Whether it can be asked or not: the order stands.
        let Ok(decision) = client.get(&format!("/v1/decisions/{}", escaped(id))).await else {
            break;
        };
        let answers = decision.get("stores").and_then(Value::as_object);
        let answers = answers.into_iter().flatten();
        let answers: Vec<String> = answers
            .filter_map(|(store, answer)| Some(format!("{store} {}", answer.as_str()?)))
            .collect();
        let waits = answers.iter().any(|answer| answer.ends_with(" waiting"));
        if !waits || round + 1 == LOOKS {
            let told =
                if waits { "; pending deliveries follow as soon as the store answers" } else { "" };
            return format!("\n  by now: {}{told}", answers.join(", "));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    String::new()
}

/// The outcome of an order, for people.
pub(crate) fn outcome(verb: &str, id: &str, done: &Value) -> String {
    let decision = done.get("decision").filter(|one| !one.is_null());
    let Some(decision) = decision else {
        if let Some(voice) = done.get("voice") {
            return format!(
                "{id}: your order counts as an approval of {}, which is pending; {} more \
                 needed:\n  \
                 tripline decisions approve {} --reason …",
                text(voice, "decision"),
                text(voice, "missing"),
                text(voice, "decision")
            );
        }
        let before = text(done, "before");
        return match (verb, before.as_str()) {
            ("restore", _) if is_withdrawn(done) => {
                format!("{id}: the report of its leak is withdrawn; it is in service")
            }
            ("restore", _) => {
                format!("{id}: nothing to restore, it is in service; check its name")
            }
            _ => format!("{id}: nothing to do, it is already {before}"),
        };
    };
    let (decided, until) = (text(decision, "id"), text(decision, "until"));
    // As it is known: a secret that was typed stands for its fingerprint.
    let id = name(decision);
    let mut out = format!(
        "{id}: {verb} ordered as {decided}, generation {}\n  delivery to each store: tripline \
         decisions show {decided}",
        text(decision, "generation")
    );
    if held_by(decision).contains(&"approval") {
        out = format!(
            "{id}: suspended until {until}; it is revoked once another operator approves:\n  \
             tripline decisions approve {decided} --reason …"
        );
    }
    if done.get("known") == Some(&Value::Bool(false)) {
        out.push_str("\n  no recent event names it; check its name");
    }
    if is_withdrawn(done) {
        out.push_str("\n  the report of its leak is withdrawn");
    }
    let texts = |name: &str| {
        let all = done.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let (cannot, open) = (texts("cannot"), texts("open_findings"));
    let not_written = texts("not_written");
    if !not_written.is_empty() {
        out.push_str(&format!(
            "\n  not in force yet at {not_written}; the order is in the \
            journal"
        ));
    }
    if !cannot.is_empty() {
        out.push_str(&format!("\n  {cannot} can't restore: issue a new credential there"));
    }
    if !open.is_empty() {
        out.push_str(&format!(
            "\n  {open} still open: no action on it during [actions] operator_restore_grace, then \
             it is evaluated again;\n  if the use is legitimate, add it to [allow_list]; if not, revoke it"
        ));
    }
    out
}

fn is_withdrawn(done: &Value) -> bool {
    done.get("leak_withdrawn") == Some(&Value::Bool(true))
}

fn credentials_table(found: &Value) -> String {
    let mut out = format!(
        "{:<34} {:<12} {:>10} {:>10}  {}\n",
        "CREDENTIAL", "STATUS", "60 S", "USUAL", "TENANT"
    );
    for one in found.as_array().into_iter().flatten() {
        let Ok(one) = serde_json::from_value::<CredentialJson>(one.clone()) else { continue };
        let minute = one.windows.iter().find(|window| window.window_s == 60);
        let (count, usual) = minute.map_or((0, 0.0), |window| (window.count, window.expected));
        let tenant = one.tenant.as_deref().unwrap_or("-");
        let name = format!("{}:{}", one.kind, one.credential);
        out.push_str(&format!(
            "{name:<34} {:<12} {count:>10} {usual:>10.1}  {tenant}\n",
            one.status
        ));
    }
    out
}

pub(crate) fn credential_text(found: &Value) -> String {
    let Ok(one) = serde_json::from_value::<CredentialJson>(found.clone()) else {
        return found.to_string();
    };
    let mut out = format!("{}:{}\n", one.kind, one.credential);
    let mut row = |name: &str, value: &str| out.push_str(&format!("  {name:<12} {value}\n"));
    row("status", &one.status);
    if let Some(until) = &one.until {
        row("until", until);
    }
    if let (Some(by), Some(reason)) = (&one.by, &one.reason) {
        row("decided by", by);
        row("because", reason);
    }
    row("tenant", one.tenant.as_deref().unwrap_or("-"));
    row("first seen", one.first_seen.as_deref().unwrap_or("-"));
    row("last seen", one.last_seen.as_deref().unwrap_or("-"));
    if let Some(limit) = one.limit() {
        row("limit", &limit);
    }
    for finding in &one.open_findings {
        row("open", finding);
    }
    out.push_str(&format!(
        "  {:<12} {:>10} {:>10} {:>10}\n",
        "window", "count", "expected", "most ever"
    ));
    for window in &one.windows {
        let name = format!("{} s", window.window_s);
        out.push_str(&format!(
            "  {name:<12} {:>10} {:>10.1} {:>10.0}\n",
            window.count, window.expected, window.peak
        ));
    }
    out
}
