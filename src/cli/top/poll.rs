//! Asks the daemon again and again, and carries orders to it.

use super::confirm::Order;
use super::model::Message;
use super::snapshot::{
    CREDENTIALS_MAX, DetailView, Snapshot, approvals, decisions, findings, rows,
};
use crate::adapters::clock;
use crate::adapters::host::error_chain::error_chain;
use crate::cli::client::{Client, ClientError, escaped};
use crate::cli::credentials;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long an answer is waited for. Chosen: a daemon that takes longer is no longer live.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the answer to an order is waited for: the journal has to be on disk first.
const ORDER_MAX: Duration = Duration::from_secs(15);
/// How many findings are asked for.
const FINDINGS_MAX: u32 = 200;

/// The queries besides the lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// More of this credential, `kind:id`.
    pub(super) look_at: Option<String>,
    /// How many orders were carried there: after each the lists are asked for at once.
    pub(super) orders: u64,
}

/// Asks once, and waits no longer than it should take.
///
/// # Errors
/// When the daemon can't be reached, refuses, or can't be understood.
pub(super) async fn ask(client: &Client, look_at: Option<&str>) -> Result<Snapshot, ClientError> {
    let late = |_| ClientError::Late { seconds: ANSWER_MAX.as_secs() };
    timeout(ANSWER_MAX, ask_all(client, look_at)).await.map_err(late)?
}

async fn ask_all(client: &Client, look_at: Option<&str>) -> Result<Snapshot, ClientError> {
    let credentials = format!("/v1/credentials?limit={CREDENTIALS_MAX}");
    let open = format!("/v1/findings?open=true&limit={FINDINGS_MAX}");
    let looked_at = async {
        match look_at {
            Some(name) => fetch_detail(client, name).await.map(Some),
            None => Ok(None),
        }
    };
    let (status, credentials, open, decided, waiting, looked_at) = tokio::try_join!(
        client.get("/v1/status"),
        client.get(&credentials),
        client.get(&open),
        client.get("/v1/decisions?limit=50"),
        client.get("/v1/approvals"),
        looked_at,
    )?;
    Ok(Snapshot {
        status: serde_json::from_value(status).map_err(ClientError::Strange)?,
        credentials: rows(credentials),
        findings: findings(open),
        decisions: decisions(decided),
        approvals: approvals(waiting),
        looked_at,
    })
}

async fn fetch_detail(client: &Client, name: &str) -> Result<DetailView, ClientError> {
    let id = escaped(name);
    let (one, found, decided) = (
        format!("/v1/credentials/{id}"),
        format!("/v1/findings?limit=20&credential={id}"),
        format!("/v1/decisions?limit=20&credential={id}"),
    );
    let one = async {
        match client.get(&one).await {
            // Nothing is remembered of it any more.
            Err(ClientError::Refused { status: 404, .. }) => Ok(Value::Null),
            other => other,
        }
    };
    let (one, found, decided) = tokio::try_join!(one, client.get(&found), client.get(&decided))?;
    Ok(DetailView {
        name: name.to_owned(),
        credential: serde_json::from_value(one).ok(),
        findings: findings(found),
        decisions: decisions(decided),
    })
}

/// An error with what caused it, on one line.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    on_one_line(&error_chain(error))
}

fn on_one_line(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if !out.is_empty() {
            out.push_str(if out.ends_with([':', ';', ',']) { " " } else { "; " });
        }
        out.push_str(line.trim());
    }
    out
}

/// Asks until no one listens any more.
pub(super) async fn keep_asking(
    client: Arc<Client>,
    every: Duration,
    mut asked: watch::Receiver<Asked>,
    to: mpsc::Sender<Message>,
) {
    loop {
        let look_at = asked.borrow_and_update().look_at.clone();
        let message = match ask(&client, look_at.as_deref()).await {
            Ok(snapshot) => Message::Answered(Box::new(snapshot), clock::now()),
            Err(error) => Message::Failed(told(&error), clock::now()),
        };
        if to.send(message).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            changed = asked.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Carries an order to the daemon; says what it came to.
pub(super) async fn order(client: Arc<Client>, by: Option<String>, order: Order) -> Message {
    let verb = order.verb.as_str();
    let mut body = json!({ "reason": order.reason, "by": by.filter(|by| !by.is_empty()) });
    if let (Some(fields), Some(lasts_s)) = (body.as_object_mut(), order.lasts_s) {
        fields.insert("lasts_s".to_owned(), lasts_s.into());
    }
    let path = format!("/v1/credentials/{}/{verb}", escaped(&order.name));
    let told = match timeout(ORDER_MAX, client.post(&path, &body, "changed")).await {
        Ok(Ok(done)) => credentials::outcome(verb, &order.name, &done),
        Ok(Err(error)) => format!("NOT ORDERED: {verb} {}: {}", order.name, told(&error)),
        Err(_) => format!(
            "{verb} {}: no answer in {} s, it may have been carried out: see the decisions",
            order.name,
            ORDER_MAX.as_secs()
        ),
    };
    Message::Ordered(on_one_line(&told), clock::now())
}
