//! `tripline tenants`: who takes what of the fleet.

use super::client::{Client, Connection, block_on};
use super::exit::Exit;
use super::top::text::{clean, fit};
use crate::formats::api::tenants::{TenantJson, TenantsJson};

/// Runs `tripline tenants`.
pub fn tenants(connection: &Connection) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        let found = client.get("/v1/tenants").await?;
        client.write(&found, |found| {
            let tenants: Result<TenantsJson, _> = serde_json::from_value(found.clone());
            tenants.map_or_else(|_| found.to_string(), |tenants| table(&tenants))
        });
        Ok(())
    })
}

fn table(tenants: &TenantsJson) -> String {
    let Some(minute) = &tenants.minute else {
        return "No recent minute had requests.\n".to_owned();
    };
    let mut out = format!("The minute from {minute}: {} requests in all.\n", tenants.requests);
    if tenants.tenants.is_empty() {
        out.push_str("No event of that minute named its tenant.\n");
        return out;
    }
    out.push_str(&format!(
        "{:<32} {:>12} {:>8} {:>8}  {}\n",
        "TENANT", "REQUESTS", "SHARE", "USUAL", "STATE"
    ));
    tenants.tenants.iter().for_each(|one| out.push_str(&row(one)));
    out
}

fn row(one: &TenantJson) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let state = match (&one.flood, one.minutes_missing) {
        (Some(action), _) => format!("floods ({action})"),
        (None, 0) => "normal".to_owned(),
        (None, minutes) => format!("learning for {minutes} more minutes"),
    };
    format!(
        "{} {:>12} {:>8} {:>8}  {state}\n",
        fit(&clean(&one.tenant), 32, false),
        one.requests,
        percent(one.share),
        one.usual_share.map_or_else(|| "–".to_owned(), percent),
    )
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::formats::api::tenants::{TenantJson, TenantsJson};

    #[test]
    fn the_table_says_who_floods_and_whose_usual_share_is_not_known_yet() {
        let tenant = |name: &str, minutes_missing, flood: Option<&str>| TenantJson {
            tenant: name.to_owned(),
            requests: 312,
            share: 0.78,
            usual_share: (minutes_missing == 0).then_some(0.05),
            minutes_missing,
            flood: flood.map(str::to_owned),
        };
        let told = table(&TenantsJson {
            minute: Some("2026-11-28T10:51:00.000Z".to_owned()),
            requests: 400,
            tenants: vec![
                tenant("acme", 0, Some("alert")),
                tenant("young\u{1b}[2J", 7, None),
                tenant("bloom", 0, None),
            ],
        });
        for line in [
            "The minute from 2026-11-28T10:51:00.000Z: 400 requests in all.",
            "acme                                      312   78.0 %    5.0 %  floods (alert)",
        ] {
            assert!(told.lines().any(|one| one == line), "{line}\n{told}");
        }
        assert!(told.contains("  –  learning for 7 more minutes") && told.contains("normal"));
        assert!(!told.contains('\u{1b}'), "what others chose can't steer the terminal");
        assert!(table(&TenantsJson::default()).starts_with("No recent minute"));
        let nameless = TenantsJson { minute: Some("now".to_owned()), ..TenantsJson::default() };
        assert!(table(&nameless).contains("No event of that minute named its tenant."));
    }
}
