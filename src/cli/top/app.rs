//! `tripline top`: how the daemon is, on a terminal, live.
//!
//! ```text
//! keys, time, answers -> Message -> Model::update -> Effect -> the end, a question, an order
//!                                        |
//!                                     super::view::draw
//! ```
//! `model` and `view` are pure; the terminal, the clock and the connection are here and in `poll`.
//!
//! **Does not** order anything unless it was started with `--operate`, and then only what was
//! confirmed. Nothing that someone else wrote reaches the terminal but through `text::clean`.

use super::model::{Effect, Message, Model};
use super::poll::Asked;
use super::snapshot::Snapshot;
use crate::adapters::clock;
use crate::cli::client::{Client, ClientError, Connection, Output};
use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_problem};
use crate::config::units::duration_of;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, poll as has_event, read,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How long the keyboard is waited for before it is looked whether anyone listens still.
const KEYS_WAIT: Duration = Duration::from_millis(250);
/// How often ages are drawn again.
const TICK: Duration = Duration::from_secs(1);
/// How often the daemon may be asked. Unit: milliseconds. Chosen: not so often that it is felt
/// there, not so seldom that what is shown is of the past.
const EVERY_MS: std::ops::RangeInclusive<i64> = 200..=60_000;
/// How many messages may wait.
const MESSAGES_MAX: usize = 256;

/// The arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Where the daemon is.
    #[command(flatten)]
    pub connection: Connection,
    /// Poll interval: 200ms to 60s.
    #[arg(long, default_value = "1s", value_parser = every)]
    pub every: Duration,
    /// Enable x, X and r to suspend, revoke and restore; each asks for confirmation.
    #[arg(long)]
    pub operate: bool,
    /// The operator, in addition to the name of the token or user.
    #[arg(long, env = "USER")]
    pub by: Option<String>,
}

fn every(text: &str) -> Result<Duration, String> {
    let ms = duration_of(text).filter(|ms| EVERY_MS.contains(ms));
    let ms = ms.and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(|| "200ms to 60s, `1s` say".to_owned())
}

/// Runs `tripline top`.
pub fn run(args: TopArgs) -> Exit {
    if !stdout().is_terminal() || args.connection.output == Output::Json {
        print_problem(
            "top needs a terminal; `tripline credentials list -o json` and \
             `tripline findings list -o json` write for programs",
        );
        return Exit::Usage;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let ended = runtime.block_on(begin(args));
    // Answers of the daemon that are still due are not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Exit::Good,
        Err(TopError::Client(error)) => {
            print_error(&error);
            error.exit()
        }
        Err(error @ (TopError::Terminal(_) | TopError::Task(_))) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

/// Why it ended otherwise than by a key.
#[derive(Debug, thiserror::Error)]
enum TopError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the terminal can't be used")]
    Terminal(#[from] std::io::Error),
    #[error("the poller stopped; this is a bug in tripline")]
    Task(#[from] tokio::task::JoinError),
}

async fn begin(args: TopArgs) -> Result<(), TopError> {
    let client = Arc::new(Client::new(&args.connection)?);
    let first = super::poll::ask(&client, None).await?;
    let mut screen = Screen::open()?;
    let ended = live(&mut screen.terminal, client, first, args).await;
    drop(screen);
    ended
}

/// The terminal, which is given back as it was found: at the end, on an error, and on a panic.
struct Screen {
    terminal: DefaultTerminal,
}

/// Whether the terminal was taken and not given back so far. Giving it back twice would move the
/// cursor to where it once was, over what has been reported since.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    fn open() -> std::io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        // Steps done until something fails are undone, too.
        let opened = execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)
            .and_then(|()| DefaultTerminal::new(CrosstermBackend::new(stdout())));
        if opened.is_err() {
            give_back();
        }
        opened.map(|terminal| Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back. One that is gone can't be helped.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _gone = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _gone = disable_raw_mode();
    }
}

/// Input from the terminal.
enum Input {
    /// Something to be taken.
    Message(Message),
    /// It is gone.
    Gone,
}

/// Reads the keyboard on a thread of its own, as it can't be waited for otherwise.
fn listen() -> mpsc::Receiver<Input> {
    let (to, from) = mpsc::channel(MESSAGES_MAX);
    std::thread::spawn(move || {
        while !to.is_closed() {
            let event = match has_event(KEYS_WAIT) {
                Ok(false) => continue,
                Ok(true) => read(),
                Err(error) => Err(error),
            };
            let heard = match event {
                Ok(Event::Key(key)) => super::keymap::key_of(key).map(Message::Key),
                Ok(Event::Paste(text)) => Some(Message::Pasted(text)),
                Ok(Event::Resize(_, lines)) => Some(Message::Resized(lines)),
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_)) => None,
                Err(_) => {
                    let _nobody = to.blocking_send(Input::Gone);
                    return;
                }
            };
            let Some(message) = heard else { continue };
            if to.blocking_send(Input::Message(message)).is_err() {
                return;
            }
        }
    });
    from
}

/// Waits for a signal that ends it; the terminal is given back before that.
async fn ended(signals: &mut [Signal; 3]) {
    let [term, int, hang_up] = signals;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = hang_up.recv() => {}
    }
}

async fn live(
    terminal: &mut DefaultTerminal,
    client: Arc<Client>,
    first: Snapshot,
    args: TopArgs,
) -> Result<(), TopError> {
    let mut model = Model::new(first, clock::now());
    model.operate = args.operate;
    model.look.colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    model.update(Message::Resized(terminal.size()?.height));
    let mut signals = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let mut keys = listen();
    let (asked, asks) = watch::channel(Asked::default());
    let (to, mut answers) = mpsc::channel(MESSAGES_MAX);
    let asking = super::poll::keep_asking(Arc::clone(&client), args.every, asks, to.clone());
    let mut asking = tokio::spawn(asking);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let mut scroll_max = 0;
        terminal.draw(|frame| scroll_max = super::view::draw(frame, &model))?;
        model.update(Message::Drawn(scroll_max));
        let message = tokio::select! {
            () = ended(&mut signals) => return Ok(()),
            broken = &mut asking => return broken.map_err(TopError::Task),
            heard = keys.recv() => match heard {
                Some(Input::Message(message)) => message,
                Some(Input::Gone) | None => return Ok(()),
            },
            Some(message) = answers.recv() => message,
            _ = ticks.tick() => Message::Tick(clock::now()),
        };
        // An order's answer is followed by how things are after it.
        if matches!(message, Message::Ordered(..)) {
            asked.send_modify(|asked| asked.orders += 1);
        }
        match model.update(message) {
            None => {}
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::LookAt(name)) => asked.send_modify(|asked| asked.look_at = name),
            Some(Effect::Order(order)) => {
                let (client, by, to) = (Arc::clone(&client), args.by.clone(), to.clone());
                tokio::spawn(async move {
                    let _nobody = to.send(super::poll::order(client, by, order).await).await;
                });
            }
        }
    }
}
