//! `tripline budget`: what is proven about false actions, and what is still missing.

use super::client::{Client, Connection, block_on, escaped};
use super::exit::Exit;
use crate::formats::api::budget::{CohortJson, ProofJson};

/// Runs `tripline budget`.
pub fn budget(connection: &Connection, tenant: Option<&str>) -> Exit {
    let of = tenant.map(|tenant| format!("?tenant={}", escaped(tenant))).unwrap_or_default();
    block_on(async move {
        let client = Client::new(connection)?;
        let found = client.get(&format!("/v1/budget{of}")).await?;
        client.write(&found, |found| {
            let cohorts: Result<Vec<CohortJson>, _> = serde_json::from_value(found.clone());
            cohorts.map_or_else(|_| found.to_string(), |cohorts| table(&cohorts))
        });
        Ok(())
    })
}

/// The kinds that were ever used; all of them, where none was.
fn table(cohorts: &[CohortJson]) -> String {
    let used = |one: &&CohortJson| one.credential_days > 0.0 || one.open_findings > 0;
    let mut shown: Vec<&CohortJson> = cohorts.iter().filter(used).collect();
    if shown.is_empty() {
        shown = cohorts.iter().collect();
    }
    let mut out = String::new();
    for cohort in shown {
        out.push_str(&format!(
            "{}: {:.1} credential-days of use, {} bursts taken for false ({} with the context, {} of \
             those corroborated)\n",
            cohort.cohort,
            cohort.credential_days,
            cohort.open_findings,
            cohort.context,
            cohort.corroborated
        ));
        if cohort.tenants_with_false_alarms > 0 {
            let tenants = cohort.tenants_with_false_alarms;
            out.push_str(&format!(
                "  other tenants with false alarms, each counted once: {tenants}\n"
            ));
        }
        out.push_str(&format!(
            "  {:<10} {:>10} {:>12} {:>12}  {:<7} {}\n",
            "ACTION", "FINDINGS", "PROVEN", "BUDGET", "STATE", "CREDENTIAL-DAYS MISSING"
        ));
        cohort.actions.iter().for_each(|one| out.push_str(&row(&one.action, one)));
        out.push_str(&row("10k limit", &cohort.built_in_limit));
    }
    out.push_str(
        "\nFalse actions per credential-day of use, at the most, with 95 % confidence.\n\
         10k limit: throttling by the limit that no operator wrote, with all other throttles.\n",
    );
    out
}

fn row(name: &str, proof: &ProofJson) -> String {
    let scientific = |number: Option<f64>, without: &str| {
        number.map_or_else(|| without.to_owned(), |number| format!("{number:.2e}"))
    };
    let missing = match proof.credential_days_missing {
        0.0 => "-".to_owned(),
        days => format!("{days:.0}"),
    };
    format!(
        "  {:<10} {:>10} {:>12} {:>12}  {:<7} {missing}\n",
        name,
        proof.open_findings,
        scientific(proof.certified, "unknown"),
        scientific(proof.budget, "none"),
        match (name, proof.open) {
            // An alert is never held back; its bound is there to be watched.
            ("alert", _) => "always",
            (_, true) => "open",
            (_, false) => "closed",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::control_plane::policy::budget::Budgets;
    use crate::control_plane::policy::false_alarms::Cohorts;
    use crate::control_plane::policy::ledger::Ledger;
    use crate::formats::api::budget::budget_json;

    #[test]
    fn the_table_says_what_is_proven_and_what_is_missing() {
        let mut cohorts = Cohorts::default();
        cohorts[0].untenanted.hours = 10_000 * 24;
        cohorts[0].forgotten.throttles = 2;
        let said = table(&budget_json(&Ledger::of(cohorts).proofs(None), &Budgets::default()));
        for line in [
            "api_key: 10000.0 credential-days of use, 0 bursts taken for false (0 with the context, 0 of those corroborated)",
            "  ACTION       FINDINGS       PROVEN       BUDGET  STATE   CREDENTIAL-DAYS MISSING",
            "  throttle            0      3.00e-4      1.00e-3  open    -",
            "  suspend             0      3.69e-4      1.00e-5  closed  358888",
            "  10k limit           0      3.00e-4      1.00e-3  open    -",
            "  other tenants with false alarms, each counted once: 2",
        ] {
            assert!(said.lines().any(|one| one == line), "{line}\n{said}");
        }
        assert!(!said.contains("jwt"));
        let nothing = table(&budget_json(&Ledger::default().proofs(None), &Budgets::NONE));
        assert!(nothing.contains("jwt") && nothing.contains("unknown"), "{nothing}");
    }
}
