//! What needs no suspicion: a key that its holder reports as leaked, and a refresh token that comes back
//! after its use.

use super::stage::{DemoError, PATIENCE, Stage, line, own_token};
use crate::adapters::clock;
use crate::model::credential::Kind;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The longest from a report, or a theft, to a refusal.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How far apart the demo asks.
const POLL: Duration = Duration::from_millis(5);
/// Tenants that no key of the fleet has: each has a revocation of its own to lose.
const OF_KEY: &str = "ember";
const OF_GRANT: &str = "fjord";
/// The tokens of the grant.
const USED_UP: &str = "refresh_1";
const LIVE: &str = "refresh_2";
const ACCESS: &str = "access_2";

impl Stage {
    /// A key in use is reported by someone who found it: it is revoked, whatever its use.
    pub(super) async fn leak_report(&mut self) -> Result<(), DemoError> {
        line(None, "5. A key is found in a public commit and reported");
        let key = format!("sk-{}", own_token()?.expose_secret());
        for _ in 0..3 {
            // The daemon keeps a fingerprint in place of the key.
            let time = clock::now().to_string();
            let event = json!({ "time": time, "credential": key, "tenant": OF_KEY, "status": 200 });
            self.post_events(event.to_string()).await?;
        }
        if self.check_with(&key).await? != 200 {
            return Err(DemoError::Untrue("the key was refused before it was reported"));
        }
        let report = json!({ "token": key, "place": "https://git.example/acme/app/.env" });
        let begun = Instant::now();
        let answered = self.http.post(format!("{}/v1/leaks/self", self.base)).json(&report);
        if answered.send().await?.status().as_u16() != 202 {
            return Err(DemoError::Untrue("the report was not taken"));
        }
        line(Some(begun.elapsed()), "reported; the answer is the same for any text, known or not");
        self.finding_by("leak", begun).await?;
        while self.check_with(&key).await? != 403 {
            wait(begun, "the reported key was not refused").await?;
        }
        at_once(begun, "the reported key was not refused within a second")?;
        line(Some(begun.elapsed()), "revoked: a request with the key is answered 403");
        Ok(())
    }

    /// A refresh token that was used up comes back from another client: someone has a copy of it.
    pub(super) async fn token_reuse(&mut self) -> Result<(), DemoError> {
        line(
            None,
            &format!(
                "6. {USED_UP} is rotated for {LIVE}; then someone else presents {USED_UP} again"
            ),
        );
        let now = clock::now();
        let rotated = [
            of_grant(Kind::RefreshToken, USED_UP, now),
            of_grant(Kind::RefreshToken, LIVE, now.plus_ms(1)),
            of_grant(Kind::Jwt, ACCESS, now.plus_ms(2)),
        ];
        self.send_all(&rotated).await?;
        let (live, access) = (format!("refresh_token:{LIVE}"), format!("jwt:{ACCESS}"));
        if self.check_named(&live).await? != 200 || self.check_named(&access).await? != 200 {
            return Err(DemoError::Untrue("a grant was ended before anyone misused it"));
        }
        let mut copy = of_grant(Kind::RefreshToken, USED_UP, clock::now());
        copy.ip = Some([198, 51, 100, 23].into());
        copy.country = Some(*b"BR");
        copy.user_agent = Some("curl/8.1".into());
        let begun = Instant::now();
        self.send_all(&[copy]).await?;
        self.finding_by("reuse", begun).await?;
        while self.check_named(&live).await? != 403 || self.check_named(&access).await? != 403 {
            wait(begun, "the grant was not ended").await?;
        }
        at_once(begun, "the grant was not ended within a second")?;
        let ended = format!("the grant is ended: {LIVE} and {ACCESS} are answered 403");
        line(Some(begun.elapsed()), &ended);
        Ok(())
    }

    /// Waits for a finding of that detector, and shows it.
    async fn finding_by(&self, detector: &str, begun: Instant) -> Result<(), DemoError> {
        loop {
            let findings = self.findings().await?;
            if let Some(finding) = findings.iter().find(|one| one["detector"] == detector) {
                let text = |field| finding.get(field).and_then(Value::as_str).unwrap_or("");
                let (name, summary, place) = (text("credential"), text("summary"), text("place"));
                let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
                let said = format!("finding by {detector}: {name} {summary}{place}");
                line(Some(begun.elapsed()), &said);
                return Ok(());
            }
            wait(begun, "there was no finding").await?;
        }
    }
}

/// A use of a token of the grant by its owner.
fn of_grant(kind: Kind, id: &'static str, time: EventTime) -> AuthEvent<'static> {
    AuthEvent {
        kind,
        tenant: Some(OF_GRANT.into()),
        family: Some("grant_ada".into()),
        ip: Some([203, 0, 113, 7].into()),
        country: Some(*b"DE"),
        user_agent: Some("firefox/133".into()),
        ..AuthEvent::new(time, Cow::Borrowed(id))
    }
}

/// Waits a moment, unless it took too long already.
async fn wait(begun: Instant, why: &'static str) -> Result<(), DemoError> {
    if begun.elapsed() > PATIENCE {
        return Err(DemoError::Untrue(why));
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

fn at_once(begun: Instant, why: &'static str) -> Result<(), DemoError> {
    if begun.elapsed() > AT_ONCE { Err(DemoError::Untrue(why)) } else { Ok(()) }
}
