//! `--canary`: suspends and restores a credential that no one has, and watches that gateways learn of it.

use super::report::{Area, Check};
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::Exit;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The credential. No one has it.
pub(super) const CANARY: &str = "api_key:tripline-doctor-canary";
/// Within how long `/v1/check` has to know. Source: what tripline promises gateways.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How long stores are waited for.
const STORES_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// It ends by itself, should no one restore it. Unit: seconds.
const LASTS_S: u32 = 60;

/// The outcome of an order.
#[derive(Clone, Debug, Default, PartialEq)]
struct CanaryState {
    /// After how long `/v1/check` answered as it should; none: not in time.
    known_ms: Option<u128>,
    /// Its last answer.
    answer: u16,
    /// The answer of each store, and after how long. Unit: milliseconds.
    stores: BTreeMap<String, (String, u128)>,
}

/// Orders, looks, and puts it back. `check_token`: a token with which `/v1/check` may be asked.
pub(super) async fn fly(client: &Client, check_token: Option<&str>) -> Vec<Check> {
    let area = Area::new("canary");
    let suspended = order(client, "suspend", json!({"lasts_s": LASTS_S})).await;
    let (began, decision) = match suspended {
        Ok(done) => done,
        Err(error) => return vec![judge_error(&area, &error)],
    };
    let seen = watch(client, check_token, began, (&decision, 403)).await;
    let mut checks = judge(&area, "suspended", 403, &seen);
    match order(client, "restore", json!({})).await {
        Ok((began, decision)) => {
            let seen = watch(client, check_token, began, (&decision, 200)).await;
            checks.extend(judge(&area, "restored", 200, &seen));
        }
        Err(error) => checks.push(area.failed(
            "restored",
            error.to_string(),
            format!("it expires within {LASTS_S} s; tripline credentials restore {CANARY}"),
        )),
    }
    checks
}

/// Orders; gives when that began, and the decision's id.
async fn order(client: &Client, verb: &str, more: Value) -> Result<(Instant, String), ClientError> {
    let mut said = json!({"reason": "tripline doctor --canary tests enforcement"});
    if let (Some(said), Some(more)) = (said.as_object_mut(), more.as_object()) {
        said.extend(more.clone());
    }
    let began = Instant::now();
    let done = client.post(&format!("/v1/credentials/{CANARY}/{verb}"), &said, "changed").await?;
    let id = done.pointer("/decision/id").and_then(Value::as_str).unwrap_or("").to_owned();
    Ok((began, id))
}

async fn watch(
    client: &Client,
    check_token: Option<&str>,
    began: Instant,
    (decision, wanted): (&str, u16),
) -> CanaryState {
    let mut seen = CanaryState::default();
    let mut headers = vec![("x-tripline-credential", CANARY.to_owned())];
    headers.extend(check_token.map(|token| ("x-tripline-token", token.to_owned())));
    while seen.known_ms.is_none() && began.elapsed() < KNOWN_WITHIN {
        if let Ok((answer, _)) = client.ask("/v1/check", &headers).await {
            seen.answer = answer;
            if answer == wanted {
                seen.known_ms = Some(began.elapsed().as_millis());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    while began.elapsed() < STORES_WITHIN {
        let took_ms = began.elapsed().as_millis();
        let found = client.get(&format!("/v1/decisions/{decision}")).await.unwrap_or_default();
        let stores = found.get("stores").and_then(Value::as_object);
        for (name, said) in stores.into_iter().flatten() {
            let said = said.as_str().unwrap_or("?").to_owned();
            let known = seen.stores.get(name).is_some_and(|(before, _)| *before == said);
            if !known {
                seen.stores.insert(name.clone(), (said, took_ms));
            }
        }
        let all = !seen.stores.is_empty() && seen.stores.values().all(|(said, _)| is_done(said));
        if all {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    seen
}

fn is_done(said: &str) -> bool {
    matches!(said, "applied" | "already" | "unverified" | "unsupported")
}

fn judge_error(area: &Area, error: &ClientError) -> Check {
    if error.exit() == Exit::Unavailable {
        return area.skipped("suspended", "the daemon did not answer");
    }
    let remedy = "use its socket (--socket PATH, as its user), or with a token of the role \
                  operate: --token-file FILE";
    area.failed("suspended", error.to_string(), remedy)
}

fn judge(area: &Area, name: &'static str, wanted: u16, seen: &CanaryState) -> Vec<Check> {
    let first = match seen.known_ms {
        Some(ms) => area.ok(name, format!("/v1/check answers {wanted} after {ms} ms")),
        None if seen.answer == 401 => area.skipped(
            name,
            "/v1/check needs a token of the role check: name the configuration by --config FILE",
        ),
        None => area.failed(
            name,
            format!("/v1/check answers {} after 1 s, not {wanted}", seen.answer),
            "see the journal and the log of the daemon; docs/runbooks/enforcement-slow.md",
        ),
    };
    let mut checks = vec![first];
    for (store, (said, ms)) in &seen.stores {
        checks.push(match said.as_str() {
            "applied" | "already" => area.ok(name, format!("{store} {said} after {ms} ms")),
            "unverified" => area.ok(
                name,
                format!(
                    "{store} accepted it after {ms} ms; it can't show whether anything changed"
                ),
            ),
            "unsupported" => area.ok(name, format!("{store} does not support that")),
            _ => area.failed(
                name,
                format!("{store} has not applied it after 5 s: {said}"),
                "see its check in this report; docs/runbooks/store-unreachable.md",
            ),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::{Area, CanaryState, judge};
    use crate::cli::doctor::report::State;

    #[test]
    fn a_store_that_does_not_obey_is_told_by_name() {
        let area = Area::new("canary");
        let said = |text: &str| (text.to_owned(), 4);
        let stores = [("embedded", said("applied")), ("redis", said("waiting"))];
        let stores = stores.map(|(name, said)| (name.to_owned(), said)).into_iter().collect();
        let seen = CanaryState { known_ms: Some(3), answer: 403, stores };
        let checks = judge(&area, "suspended", 403, &seen);
        let states: Vec<State> = checks.iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Ok, State::Ok, State::Failed]);
        assert!(checks[2].found.contains("redis"), "{checks:?}");
        let late = CanaryState { known_ms: None, answer: 200, ..CanaryState::default() };
        assert_eq!(judge(&area, "suspended", 403, &late)[0].state, State::Failed);
    }
}
