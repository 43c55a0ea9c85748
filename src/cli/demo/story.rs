//! The story of the demo: a quiet fleet, a thief, the undo; then what needs no suspicion.

use super::stage::{DemoError, LEAKED, PATIENCE, Stage, line};
use crate::adapters::clock;
use crate::model::event::Outcome;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Keys in the fleet. Chosen.
const FLEET: u32 = 40;
/// How much of the past the fleet has. Unit: minutes. Chosen: more than the day after which a peak is
/// trusted.
const HISTORY_MIN: i64 = 26 * 60;
/// How much of live time is sent at once. Unit: milliseconds.
const STEP_MS: u64 = 100;
/// The thief's rate. Unit: requests per minute.
const THEFT_PER_MIN: f64 = 10_000.0;
/// The limit of every key. Unit: requests per minute.
pub(super) const CONTRACT: &str = "1000/min";

/// How long the fleet is quiet before the first leak; longer where people want to look on.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_TO_LOOK: Duration = Duration::from_secs(15);
/// How long a thief goes on after a refusal, as the demo stays, and how long it is quiet then.
const REFUSED: Duration = Duration::from_secs(5);
const BETWEEN_LEAKS: Duration = Duration::from_secs(40);

/// Waits for SIGINT or SIGTERM; for ever where they can't be heard.
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

impl Stage {
    pub(super) async fn tell(mut self, stay: bool) -> Result<(), DemoError> {
        line(
            None,
            &format!(
                "1. A quiet fleet: {FLEET} keys of 10 to 60 requests a minute, {} hours of history",
                HISTORY_MIN / 60
            ),
        );
        self.history().await?;
        self.live(if stay { QUIET_TO_LOOK } else { QUIET }).await?;
        // An observed finding is reported to no one, and happens by chance in so many hours.
        let before = self.findings().await?;
        if let Some(told) = before.iter().find(|finding| finding["action"] != "observe") {
            line(None, &format!("   {told}"));
            return Err(DemoError::Untrue("the quiet fleet raised an alert"));
        }
        line(
            None,
            &format!("   {} events read, no alert; {LEAKED} is {}", self.sent, self.check().await?),
        );

        line(
            None,
            &format!(
                "2. {LEAKED} leaks: a thief makes 10,000 requests a minute with it (contract: {CONTRACT})"
            ),
        );
        let begun = Instant::now();
        let refused = self.attack(begun).await?;

        line(None, "3. The thief goes on, and is refused at the gateway");
        for _ in 0..20 {
            self.step(Some((LEAKED, Outcome::Rejected))).await?;
        }
        if self.check().await? != 403 {
            return Err(DemoError::Untrue("the revoked key was accepted"));
        }
        line(
            Some(begun.elapsed()),
            &format!("{LEAKED} is still answered 403; its owner's colleagues are not disturbed"),
        );
        if self.check_of("key_08").await? != 200 {
            return Err(DemoError::Untrue("another key was refused"));
        }

        line(None, "4. The owner has found the leak and asks for the key back: restore");
        self.restore().await?;
        let restored = self.until(|code| code == 200, "the restored key was refused").await?;
        line(
            Some(begun.elapsed()),
            &format!("accepted again, {:.0} ms after the order", restored.as_secs_f64() * 1000.0),
        );
        self.live(Duration::from_secs(2)).await?;
        if self.check().await? != 200 {
            return Err(DemoError::Untrue("the restored key was taken out of service again"));
        }
        self.leak_report().await?;
        self.token_reuse().await?;
        self.summary(refused).await?;
        if stay { self.stay().await } else { Ok(()) }
    }

    /// The fleet lives on, and now and then another key leaks.
    async fn stay(&mut self) -> Result<(), DemoError> {
        line(None, "It goes on: every minute another key leaks. Ctrl-C ends it.");
        let mut end = std::pin::pin!(ended());
        loop {
            for key in 10..FLEET {
                let key = format!("key_{key:02}");
                tokio::select! {
                    () = &mut end => return Ok(()),
                    leaked = self.leak(&key) => leaked?,
                }
            }
        }
    }

    /// Some quiet, then a thief who goes on until a while after the gateway refuses.
    async fn leak(&mut self, key: &str) -> Result<(), DemoError> {
        self.live(BETWEEN_LEAKS).await?;
        line(None, &format!("   {key} leaks"));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let outcome = match self.check_of(key).await? {
                403 => break,
                429 => Outcome::Throttled,
                _ => Outcome::Accepted,
            };
            self.step(Some((key, outcome))).await?;
        }
        line(Some(begun.elapsed()), &format!("{key} is answered {}", self.check_of(key).await?));
        let refused = Instant::now();
        while refused.elapsed() < REFUSED {
            self.step(Some((key, Outcome::Rejected))).await?;
        }
        Ok(())
    }

    /// The thief at work until the gateway refuses; gives how long that took.
    async fn attack(&mut self, begun: Instant) -> Result<Duration, DemoError> {
        let (mut found, mut outcome) = (None, Outcome::Accepted);
        while begun.elapsed() < PATIENCE {
            self.step(Some((LEAKED, outcome))).await?;
            if found.is_none()
                && let found_now = self.findings().await?
                && let Some(finding) = found_now.iter().find(|one| one["action"] != "observe")
            {
                found = Some(begun.elapsed());
                let summary = finding.get("summary").and_then(Value::as_str).unwrap_or("");
                let detector = finding.get("detector").and_then(Value::as_str).unwrap_or("");
                line(found, &format!("finding by {detector}: {LEAKED} {summary}"));
            }
            let code = self.check().await?;
            if code == 429 && outcome == Outcome::Accepted {
                line(
                    Some(begun.elapsed()),
                    "throttled: most of the thief's requests are answered 429",
                );
                outcome = Outcome::Throttled;
            }
            if code == 403 {
                let refused = begun.elapsed();
                let Some(found) = found else {
                    return Err(DemoError::Untrue("it was refused without a finding"));
                };
                line(Some(refused), "revoked: the gateway's question is answered 403");
                if found > Duration::from_secs(2) {
                    return Err(DemoError::Untrue("the finding took longer than two seconds"));
                }
                return Ok(refused);
            }
        }
        Err(DemoError::Untrue("the stolen key was not refused"))
    }

    async fn history(&mut self) -> Result<(), DemoError> {
        let now = clock::now();
        for minute in 0..HISTORY_MIN {
            let mut lines = Vec::new();
            for key in 0..FLEET {
                let count = self.random.poisson(Self::per_min(key));
                for _ in 0..count {
                    let offset = self.random.unit() * 60_000.0;
                    #[expect(clippy::cast_possible_truncation, reason = "below a minute")]
                    let ms = (minute - HISTORY_MIN) * 60_000 + offset as i64 - 5_000;
                    lines.push((now.plus_ms(ms), key));
                }
            }
            lines.sort_unstable();
            let events = lines.into_iter().map(|(time, key)| {
                (time, format!("key_{key:02}"), "203.0.113.7", Outcome::Accepted)
            });
            self.send(events.collect()).await?;
        }
        Ok(())
    }

    /// How busy a key of the fleet is. Unit: requests per minute.
    fn per_min(key: u32) -> f64 {
        10.0 + f64::from(key % 6) * 10.0
    }

    /// The fleet goes on for a while.
    async fn live(&mut self, length: Duration) -> Result<(), DemoError> {
        let begun = Instant::now();
        while begun.elapsed() < length {
            self.step(None).await?;
        }
        Ok(())
    }

    /// A tenth of a second of the fleet, and of the thief if there is one, with what the gateway
    /// says to it.
    async fn step(&mut self, thief: Option<(&str, Outcome)>) -> Result<(), DemoError> {
        tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
        let now = clock::now();
        let mut events = Vec::new();
        let share = STEP_MS as f64 / 60_000.0;
        for key in 0..FLEET {
            for _ in 0..self.random.poisson(Self::per_min(key) * share) {
                events.push((now, format!("key_{key:02}"), "203.0.113.7", Outcome::Accepted));
            }
        }
        if let Some((key, outcome)) = thief {
            for _ in 0..self.random.poisson(THEFT_PER_MIN * share) {
                events.push((now, key.to_owned(), "198.51.100.23", outcome));
            }
        }
        self.send(events).await
    }

    async fn summary(&self, refused: Duration) -> Result<(), DemoError> {
        let decisions: Vec<Value> = self.read("/v1/decisions").await?.json().await?;
        line(
            None,
            "Decisions, oldest first (all in the journal, each line chained to the one before):",
        );
        for decision in decisions.iter().rev() {
            let text = |field: &str| decision.get(field).and_then(Value::as_str).unwrap_or("-");
            line(
                None,
                &format!(
                    "   {} {:<8} {} by {}: {}",
                    text("at"),
                    text("action"),
                    text("credential"),
                    text("by"),
                    text("reason")
                ),
            );
        }
        let metrics = self.read("/metrics").await?.text().await?;
        let mut shown = String::new();
        for name in [
            "tripline_events_total",
            "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}",
            "tripline_decisions_total{action=\"restore\",carried_out=\"true\"}",
            "tripline_enforcement_total{receipt=\"applied\",store=\"embedded\"}",
        ] {
            if let Some(found) = metrics.lines().find(|line| line.starts_with(name)) {
                // Writing to a string can't fail.
                let _written = writeln!(shown, "   {found}");
            }
        }
        line(None, &format!("From /metrics:\n{}", shown.trim_end()));
        line(
            None,
            &format!(
                "Success: stolen key refused {:.1} s after the theft began, and restored by one \
                 call; reported key and copied grant refused at once.",
                refused.as_secs_f64()
            ),
        );
        Ok(())
    }
}
