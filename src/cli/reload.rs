//! `tripline reload`: the daemon reads its configuration again.

use super::client::{Client, Connection, block_on};
use super::exit::Exit;
use serde_json::Value;

/// Runs `tripline reload`.
pub fn reload(connection: &Connection) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        let done = client.post("/v1/reload", &serde_json::json!({}), "applied").await?;
        client.write(&done, told);
        Ok(())
    })
}

fn told(done: &Value) -> String {
    let sections = |field: &str| {
        let all = done.get(field).and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> = all.filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    match (sections("applied"), sections("after_restart")) {
        (None, None) => "nothing changed".to_owned(),
        (applied, after_restart) => {
            let applied = applied.map(|names| format!("applied: {names}\n"));
            let waits = after_restart.map(|names| format!("needs a restart: {names}\n"));
            applied.into_iter().chain(waits).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::told;
    use serde_json::json;

    #[test]
    fn it_says_what_holds_now_and_what_needs_a_restart() {
        let done = json!({"applied": ["mode", "limits"], "after_restart": ["kafka"]});
        assert_eq!(told(&done), "applied: mode, limits\nneeds a restart: kafka\n");
        let nothing = json!({"applied": [], "after_restart": []});
        assert_eq!(told(&nothing), "nothing changed");
    }
}
