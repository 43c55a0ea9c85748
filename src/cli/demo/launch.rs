//! The daemon of the demo, with a folder and a token of its own.

use super::stage::{DemoError, Random, Stage, own_token};
use super::story::CONTRACT;
use crate::adapters::http::auth::Role;
use crate::adapters::storage::key_material;
use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_problem};
use crate::config::loader;
use crate::config::settings::{Settings, Token};
use crate::daemon::startup::Daemon;
use crate::data_plane::batch::HashSeed;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Revocations in any hour: three of the story, and two of those that leak as the demo stays.
const REVOCATIONS: u32 = 5;

/// Runs the demo; `stay`: it goes on after the story, until a signal.
pub fn demo(port: u16, stay: bool) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let (folder, token) = match own_folder().and_then(|folder| Ok((folder, own_token()?))) {
        Ok(made) => made,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let Some(settings) = demo_settings(port, &folder, token.clone()) else {
        print_problem("the demo's own settings are invalid");
        return Exit::Configuration;
    };
    let played = runtime.block_on(play(settings, token, stay));
    let cleared = std::fs::remove_dir_all(&folder);
    if let Err(source) = cleared {
        print_error(&DemoError::Folder { path: folder, source });
    }
    match played {
        Ok(()) => Exit::Good,
        Err(error) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

/// A folder that was not there before, for this user alone: what someone else laid out is not used.
fn own_folder() -> Result<PathBuf, DemoError> {
    let HashSeed(number, _) = key_material::random_seed().map_err(DemoError::Random)?;
    let path = std::env::temp_dir().join(format!("tripline-demo-{number:016x}"));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map(|()| path.clone()).map_err(|source| DemoError::Folder { path, source })
}

fn demo_settings(port: u16, folder: &std::path::Path, secret: SecretString) -> Option<Settings> {
    let text = format!(
        "mode.default = \"revoke\"\nlimits.default = \"{CONTRACT}\"\n\
         revocation_limit.per_hour = {REVOCATIONS}\n[leaks.self_service]\n"
    );
    let mut settings = loader::check("demo", &text, BTreeMap::new()).ok()?;
    folder.clone_into(&mut settings.data_dir);
    settings.admin.path = Some(folder.join("tripline.sock"));
    settings.http.listen = SocketAddr::from(([127, 0, 0, 1], port));
    // The console may operate there: with a token that only this demo knows.
    let roles = Role::ALL.to_vec();
    settings.http.tokens = vec![Token { name: "demo".to_owned(), secret, roles, sources: None }];
    Some(settings)
}

async fn play(settings: Settings, token: SecretString, stay: bool) -> Result<(), DemoError> {
    let socket = settings.admin.path.clone();
    let mut operator = reqwest::Client::builder();
    if let Some(socket) = settings.admin.path.clone() {
        operator = operator.unix_socket(socket);
    }
    let operator = operator.build()?;
    let daemon = Box::pin(Daemon::start(settings)).await?;
    let base = format!("http://{}", daemon.address());
    let stage = Stage {
        http: reqwest::Client::new(),
        operator,
        base,
        token,
        random: Random(0x7269_706c_696e_6521),
        sent: 0,
    };
    stage.introduce(socket.as_deref());
    let told = stage.tell(stay).await;
    daemon.stop().await;
    told
}
